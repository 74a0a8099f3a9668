import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../test/e2e/support/ports.ts';
import type { Daemon } from '../../test/e2e/support/programs.ts';
import type { Rig } from '../../test/e2e/support/rig.ts';
import { blobRequestsIn } from '../netns/origin.ts';
import type { Server } from './bench-rig.ts';

const START_BOUND_MS = 20_000;

export interface RegistryOptions {
  readonly name: string;
  readonly dir: string;
  /** As a pull-through cache of that registry. */
  readonly remoteUrl?: string;
  /** Its log counts what it sends. */
  readonly counted?: boolean;
}

/** docker-registry on loopback. */
export class Registry implements Server {
  readonly url: string;
  readonly daemon: Daemon;
  #before = 0;

  private constructor(url: string, daemon: Daemon) {
    this.url = url;
    this.daemon = daemon;
  }

  /** With the cache of descriptors that its documentation's example has, and no more logged than is needed. */
  static async start(rig: Rig, { name, dir, remoteUrl, counted = false }: RegistryOptions): Promise<Registry> {
    const port = await freePort();
    const config = join(rig.dir, `${name}.yml`);
    await writeFile(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: counted ? 'info' : 'error', formatter: 'json', accesslog: { disabled: true } },
        storage: { cache: { blobdescriptor: 'inmemory' }, filesystem: { rootdirectory: dir } },
        http: { addr: `127.0.0.1:${port}` },
        ...(remoteUrl !== undefined && { proxy: { remoteurl: remoteUrl } }),
      }),
    );
    const daemon = rig.daemon(name, 'docker-registry', ['serve', config]);
    const registry = new Registry(`http://127.0.0.1:${port}`, daemon);
    await daemon.ready('GET /v2/', START_BOUND_MS, async () => {
      const answer = await fetch(`${registry.url}/v2/`).catch(() => undefined);
      return answer?.ok;
    });
    return registry;
  }

  stop(): Promise<void> {
    return this.daemon.stop();
  }

  /** What it sends from here on counts. */
  async mark(): Promise<void> {
    this.#before = (await readFile(this.daemon.logFile, 'utf8')).length;
  }

  /** Bytes of a blob that it has sent since `mark`, and in how many answers. */
  async sent(digest: string): Promise<{ bytes: number; requests: number }> {
    const log = (await readFile(this.daemon.logFile, 'utf8')).slice(this.#before);
    const gets = blobRequestsIn(log, digest).filter(({ method }) => method === 'GET');
    return { bytes: gets.reduce((sum, { written }) => sum + written, 0), requests: gets.length };
  }
}
