import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { isPassing } from '../../store/disk-health.ts';
import type { PeerIdentity } from './piece-auth.ts';
import { PeerIdUnusable } from './session-errors.ts';

const ID = /^[0-9a-z][0-9a-z-]{7,63}$/;

/**
 * Who this proxy is: its peer id is kept in the store's directory (`v1/peer-id`, made where it is missing or damaged), its
 * instance id is new each time. On a full or read-only disk an id that is not there yet lasts until the process ends. Throws
 * PEER_ID_UNUSABLE where the id can neither be read nor kept for another reason.
 */
export async function loadIdentity(storeDir: string, log: Logger): Promise<PeerIdentity> {
  const path = join(storeDir, 'v1', 'peer-id');
  const instance = randomBytes(8).toString('hex');
  try {
    const kept = (await read(path))?.trim();
    if (kept !== undefined && ID.test(kept)) return { peer: kept, instance };
    const peer = randomBytes(10).toString('hex');
    await keep(path, peer, instance).catch((error: unknown) => {
      if (!isPassing(error)) throw error;
      log.warn(
        { code: 'PEER_ID_NOT_KEPT', path, todo: 'free space on the disk of store.dir, or make it writable' },
        `the peer id cannot be kept, this node has another after its next start: ${describeError(error)}`,
      );
    });
    return { peer, instance };
  } catch (error) {
    throw new PeerIdUnusable({ path, why: describeError(error) }, { cause: error });
  }
}

async function keep(path: string, peer: string, instance: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${instance}`;
  try {
    await writeFile(temporary, `${peer}\n`, { mode: 0o600, flag: 'wx', flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
