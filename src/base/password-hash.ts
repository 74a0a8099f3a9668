import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { MiB } from './units.ts';

/** Longer passwords are refused: hashing takes time by their length. */
export const MAX_PASSWORD_BYTES = 1024;

/** OWASP's password storage cheat sheet: N = 2^15, r = 8, p = 3. It takes 32 MiB and some 200 ms of one core. */
const OURS = { ln: 15, r: 8, p: 3 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** What a hash from elsewhere may cost: a file is not to bring the mirror to a stop. */
const MAX_SCRYPT_BYTES = 64 * MiB;
const MAX_SCRYPT_P = 16;
const MAX_BCRYPT_COST = 14;
/** bcrypt in JavaScript: cost 14 takes some seconds. */
const BCRYPT_BOUND_MS = 20_000;

const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43,86})$/;
const BCRYPT = /^\$2[aby]\$(\d\d)\$[A-Za-z0-9./]{53}$/;

/** A password's hash: scrypt's, as `hawker password` makes it, or bcrypt's, as `htpasswd -B` does. */
export type PasswordHash =
  | {
      readonly kind: 'scrypt';
      readonly options: ScryptOptions;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | { readonly kind: 'bcrypt'; readonly text: string };

/** In the PHC string format: `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`, which says itself how it was made. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, HASH_BYTES, optionsOf(OURS));
  return `$scrypt$ln=${OURS.ln},r=${OURS.r},p=${OURS.p}$${unpadded(salt)}$${unpadded(hash)}`;
}

/** Undefined: no hash of a kind that is known, or one that costs too much. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const [, cost] = BCRYPT.exec(text) ?? [];
  if (cost !== undefined) {
    return Number(cost) >= 4 && Number(cost) <= MAX_BCRYPT_COST ? { kind: 'bcrypt', text } : undefined;
  }
  const [, ln, r, p, salt = '', hash = ''] = SCRYPT.exec(text) ?? [];
  if (hash === '') return undefined;
  const costs = { ln: Number(ln), r: Number(r), p: Number(p) };
  const bytes = 128 * 2 ** costs.ln * costs.r;
  if (Object.values(costs).includes(0) || costs.p > MAX_SCRYPT_P || bytes > MAX_SCRYPT_BYTES) return undefined;
  return {
    kind: 'scrypt',
    options: optionsOf(costs),
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  };
}

/** Whether it is the hash of that password; how long that takes says nothing of it. scrypt runs on Node's thread pool, bcrypt on a thread of its own. */
export async function isPasswordOf(hash: PasswordHash, password: string): Promise<boolean> {
  if (hash.kind === 'bcrypt') return byBcrypt(hash.text, password);
  const derived = await derive(password, hash.salt, hash.hash.length, hash.options);
  return timingSafeEqual(derived, hash.hash);
}

function optionsOf({ ln, r, p }: { ln: number; r: number; p: number }): ScryptOptions {
  // Node counts what is beside the table, too.
  return { N: 2 ** ln, r, p, maxmem: 2 * MAX_SCRYPT_BYTES };
}

const scryptOf = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

function derive(password: string, salt: Buffer, bytes: number, options: ScryptOptions): Promise<Buffer> {
  return scryptOf(password.normalize('NFC'), salt, bytes, options);
}

/** A thread that is new each time: it is seldom needed, and on the main one every pull would stand still meanwhile. */
function byBcrypt(hash: string, password: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./bcrypt-worker.js', import.meta.url), {
      workerData: { hash, password },
      execArgv: [],
    });
    const timer = setTimeout(() => {
      void worker.terminate();
      reject(new Error(`bcrypt took more than ${BCRYPT_BOUND_MS} ms`));
    }, BCRYPT_BOUND_MS);
    worker.once('message', (same) => resolve(same === true));
    worker.once('error', reject);
    worker.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the thread ended with code ${code}`));
    });
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
