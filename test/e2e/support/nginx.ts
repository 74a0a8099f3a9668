import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import type { Rig } from './rig.ts';

const START_BOUND_MS = 10_000;

/** nginx as a server of files, with a log of what it has sent. */
export class FileHost {
  readonly url: string;
  /** What is served: path `/x` is the file `x` in it. */
  readonly root: string;
  readonly #log: string;

  private constructor(url: string, root: string, log: string) {
    this.url = url;
    this.root = root;
    this.#log = log;
  }

  /** `location`: further directives. */
  static async start(rig: Rig, name: string, location = ''): Promise<FileHost> {
    const dir = await rig.folder(name);
    const root = await rig.folder(`${name}-root`);
    const port = await freePort();
    const log = join(dir, 'requests');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${dir}/${kind};`,
    );
    const config = join(dir, 'nginx.conf');
    await writeFile(
      config,
      `daemon off;
user root;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 256; }
http {
  log_format sent '$request_method $status $body_bytes_sent $uri';
  access_log ${log} sent;
  ${temporary.join(' ')}
  server {
    listen 127.0.0.1:${port};
    root ${root};
    location / { ${location} }
  }
}
`,
    );
    const daemon = rig.daemon(name, 'nginx', ['-c', config, '-e', 'stderr']);
    const url = `http://127.0.0.1:${port}`;
    await daemon.ready(
      'an answer',
      START_BOUND_MS,
      async () => (await fetch(url).catch(() => undefined)) !== undefined,
    );
    return new FileHost(url, root, log);
  }

  /** Body bytes of GETs of a path that it has sent, in answers that are over. */
  async bytesOf(path: string): Promise<number> {
    const lines = (await readFile(this.#log, 'utf8')).split('\n').map((line) => line.split(' '));
    return lines
      .filter(([method, status, , uri]) => method === 'GET' && status?.startsWith('2') && uri === path)
      .reduce((sum, [, , bytes]) => sum + Number(bytes), 0);
  }
}
