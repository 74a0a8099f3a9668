import { randomBytes } from 'node:crypto';
import { access, link, mkdir, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, describeError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import type { Account } from '../config/defaults.ts';
import type { ConfigSources } from '../config/load.ts';
import { SecretNotMade } from './errors.ts';

const SECRET_BYTES = 32;
/** This directory is not for this user, or a read-only system's: the next one may be. */
const NOT_HERE = new Set(['EACCES', 'EPERM', 'EROFS']);

/** The secrets that `hawker token` makes, by the names of their files. */
export type SecretName = 'join-secret' | 'operator-token';

/** Where a secret is kept when nothing else is said, in the order of preference: root's own place, then the user's (XDG Base Directory spec). */
export function defaultSecretPaths(
  account: Account,
  xdgConfigHome: string | undefined,
  name: SecretName = 'join-secret',
): string[] {
  const base = xdgConfigHome?.startsWith('/') ? xdgConfigHome : join(account.home, '.config');
  const own = join(base, 'hawker', name);
  return account.root ? [`/etc/hawker/${name}`, own] : [own];
}

/** Where the secret of a configuration is, or may be. */
export function secretPaths(
  { cluster }: Pick<Config, 'cluster'>,
  { account, environment }: Pick<ConfigSources, 'account' | 'environment'>,
  operator: boolean,
): string[] {
  const configured = operator ? cluster.operatorTokenFile : cluster.secretFile;
  if (configured !== undefined) return [configured];
  return defaultSecretPaths(account, environment['XDG_CONFIG_HOME'], operator ? 'operator-token' : 'join-secret');
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/**
 * Finds the secret in the first of `paths` where there is one, else makes it in the first that can be written. What is there is
 * never overwritten. Rejects with SECRET_NOT_MADE.
 */
export async function findOrMakeSecret(paths: readonly string[]): Promise<{ path: string; made: boolean }> {
  for (const path of paths) if (await exists(path)) return { path, made: false };
  let first: SecretNotMade | undefined;
  for (const path of paths) {
    try {
      return { path, made: await make(path) };
    } catch (cause) {
      first ??= new SecretNotMade({ path, why: describeError(cause) });
      if (!NOT_HERE.has(codeOf(cause))) break;
    }
  }
  throw first!;
}

type SecretNotMade = InstanceType<typeof SecretNotMade>;

/** A link appears whole or not at all, and never replaces. False: another process was faster, and its secret stands. */
async function make(path: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(temporary, `${newSecret()}\n`, { mode: 0o600, flag: 'wx', flush: true });
    await link(temporary, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary).catch(() => {});
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    // What cannot be looked at may be there: reading it will say why.
    return codeOf(error) === 'EACCES';
  }
}
