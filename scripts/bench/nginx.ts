import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../test/e2e/support/ports.ts';
import type { Daemon } from '../../test/e2e/support/programs.ts';
import type { Rig } from '../../test/e2e/support/rig.ts';
import type { Server } from './bench-rig.ts';

const START_BOUND_MS = 10_000;

/** What its documentation has for large files (ngx_http_core_module: sendfile with tcp_nopush, or large output_buffers without). */
const SENDFILE = { on: 'sendfile on; tcp_nopush on;', off: 'sendfile off; output_buffers 2 1m;' } as const;

/** nginx with a worker a core, and no log of requests. */
export class Nginx implements Server {
  readonly url: string;
  readonly daemon: Daemon;

  private constructor(url: string, daemon: Daemon) {
    this.url = url;
    this.daemon = daemon;
  }

  /** Serves the files of a directory. */
  static files(
    rig: Rig,
    { name, root, sendfile }: { name: string; root: string; sendfile: 'on' | 'off' },
  ): Promise<Nginx> {
    const location = `root ${root}; default_type application/octet-stream; open_file_cache max=1000;`;
    return Nginx.#start(rig, name, { http: SENDFILE[sendfile], location });
  }

  /**
   * A caching proxy (ngx_http_proxy_module): answers are buffered and kept, connections to the origin too, one client fills the
   * cache while the others wait for it.
   */
  static cache(rig: Rig, { name, dir, originUrl }: { name: string; dir: string; originUrl: string }): Promise<Nginx> {
    const http = `${SENDFILE.on}
  proxy_cache_path ${dir} levels=1:2 keys_zone=blobs:10m max_size=20g inactive=1d use_temp_path=off;
  upstream origin { server ${new URL(originUrl).host}; keepalive 32; }`;
    const location = `proxy_pass http://origin;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering on;
    proxy_buffer_size 64k;
    proxy_buffers 16 256k;
    proxy_busy_buffers_size 1m;
    proxy_temp_file_write_size 1m;
    proxy_cache blobs;
    proxy_cache_valid 200 1d;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 10m;
    proxy_cache_lock_age 10m;`;
    return Nginx.#start(rig, name, { http, location });
  }

  static async #start(rig: Rig, name: string, parts: { http: string; location: string }): Promise<Nginx> {
    const port = await freePort();
    const dir = join(rig.dir, name);
    await mkdir(dir, { recursive: true });
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${dir}/${kind};`,
    );
    const config = join(dir, 'nginx.conf');
    await writeFile(
      config,
      `daemon off;
user root;
worker_processes auto;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.join(' ')}
  keepalive_requests 1000000;
  ${parts.http}
  server {
    listen 127.0.0.1:${port};
    location / { ${parts.location} }
  }
}
`,
    );
    const daemon = rig.daemon(name, 'nginx', ['-c', config, '-e', 'stderr']);
    const nginx = new Nginx(`http://127.0.0.1:${port}`, daemon);
    await daemon.ready('an answer', START_BOUND_MS, async () => {
      const answer = await fetch(`${nginx.url}/v2/`).catch(() => undefined);
      return answer !== undefined;
    });
    return nginx;
  }

  stop(): Promise<void> {
    return this.daemon.stop();
  }
}
