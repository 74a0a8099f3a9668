import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { freePort } from './ports.ts';
import type { User } from './private-origin.ts';
import type { Rig } from './rig.ts';

const START_BOUND_MS = 20_000;
/** The least that bcrypt knows: the passwords are the tests'. */
const BCRYPT_COST = 4;

export function htpasswdLine({ name, password }: User): string {
  return `${name}:${hashSync(password, BCRYPT_COST)}\n`;
}

/** docker-registry over the data of an open one, which wants a name and a password (htpasswd) for everything. */
export class HtpasswdOrigin {
  readonly url: string;
  readonly #file: string;

  private constructor(url: string, file: string) {
    this.url = url;
    this.#file = file;
  }

  static async start(rig: Rig, users: readonly User[]): Promise<HtpasswdOrigin> {
    const port = await freePort();
    const origin = new HtpasswdOrigin(`http://127.0.0.1:${port}`, join(rig.dir, 'htpasswd'));
    await origin.setUsers(users);
    const config = join(rig.dir, 'htpasswd-registry.yml');
    await writeFile(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: await rig.folder('registry') } },
        http: { addr: `127.0.0.1:${port}` },
        auth: { htpasswd: { realm: 'registry', path: origin.#file } },
      }),
    );
    const daemon = rig.daemon('htpasswd-registry', 'docker-registry', ['serve', config]);
    await daemon.ready('GET /v2/', START_BOUND_MS, async () => {
      const answer = await fetch(`${origin.url}/v2/`).catch(() => undefined);
      return answer?.status === 401;
    });
    return origin;
  }

  /** From here on these are let in, and nobody else: the registry looks at the file's time at each request. */
  async setUsers(users: readonly User[]): Promise<void> {
    await writeFile(`${this.#file}.new`, users.map(htpasswdLine).join(''));
    await rename(`${this.#file}.new`, this.#file);
  }

  async status(path: string, { name, password }: User): Promise<number> {
    const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
    return (await fetch(`${this.url}${path}`, { headers: { authorization } })).status;
  }
}
