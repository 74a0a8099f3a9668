import { codeOf } from '../base/errors.ts';
import { readUpTo } from '../base/read-up-to.ts';
import { parsePasswordHash, type PasswordHash } from '../base/password-hash.ts';
import { MiB } from '../base/units.ts';
import { isUserName, USER_NAME_FORMAT } from '../base/user-name.ts';
import { UsersFileUnusable } from './errors.ts';

/** Who may log in at the mirror, with the hashes of their passwords. */
export type Users = ReadonlyMap<string, PasswordHash>;

const MAX_FILE_BYTES = MiB;
const MAX_USERS = 10_000;

/** Reads a file of `name:hash` lines. Throws USERS_FILE_UNUSABLE. */
export async function readUsers(path: string): Promise<Users> {
  const bytes = await readUpTo(path, MAX_FILE_BYTES).catch((cause: unknown) => {
    throw new UsersFileUnusable({ path, why: `it cannot be read (${codeOf(cause)})` }, { cause });
  });
  if (!bytes) throw new UsersFileUnusable({ path, why: `it is larger than ${MAX_FILE_BYTES} bytes` });
  return parseUsers(bytes.toString(), path);
}

/** Empty lines, and those that begin with `#`, say nothing. Throws USERS_FILE_UNUSABLE with the line's number, and nothing of what it holds. */
export function parseUsers(text: string, path: string): Users {
  const users = new Map<string, PasswordHash>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const wrong = (why: string) => new UsersFileUnusable({ path, why: `line ${index + 1} ${why}` });
    const colon = line.indexOf(':');
    if (colon === -1) throw wrong('has no colon between a name and a hash');
    const name = line.slice(0, colon);
    if (!isUserName(name)) throw wrong(`begins with no name (${USER_NAME_FORMAT})`);
    if (users.has(name)) throw wrong('names a user for the second time');
    const hash = parsePasswordHash(line.slice(colon + 1));
    if (!hash)
      throw wrong('holds no hash of scrypt (hawker password) or bcrypt (htpasswd -B), or one that costs too much');
    users.set(name, hash);
    if (users.size > MAX_USERS) throw new UsersFileUnusable({ path, why: `it names more than ${MAX_USERS} users` });
  }
  return users;
}
