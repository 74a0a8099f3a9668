import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { codeOf } from '../base/errors.ts';
import { isPrivate, octal } from '../base/private-file.ts';
import { readUpTo } from '../base/read-up-to.ts';
import { fileHeadersOf, type FileHeaders } from '../files/file-headers.ts';
import { GetLoginUnusable, UsageWrong } from './errors.ts';

/** A file of logins is some lines. */
const MAX_BYTES = 64 * 1024;

export interface LoginFlags {
  /** Each `Name: value`. */
  readonly header?: readonly string[];
  /** A file of such lines. */
  readonly headerFile?: string;
  readonly netrcFile?: string;
}

/**
 * What the file's server is to be sent: headers as they were given, or from a file; and a login for its host from a netrc. Undefined:
 * nothing. Throws USAGE_WRONG, FILE_HEADER_INVALID and GET_LOGIN_UNUSABLE, none of which repeats a value.
 */
export async function loginHeaders(
  url: string,
  { header = [], headerFile, netrcFile }: LoginFlags,
  directory: string,
): Promise<FileHeaders | undefined> {
  const lines = [...header];
  if (headerFile !== undefined) lines.push(...linesIn(await secretText(resolve(directory, headerFile))));
  const pairs = lines.map(pairIn);
  if (netrcFile !== undefined) {
    const path = resolve(directory, netrcFile);
    const { hostname } = new URL(url);
    const login = netrcLogin(await secretText(path), hostname);
    if (!login) throw new GetLoginUnusable({ file: path, why: `it has no login for ${hostname}` });
    pairs.push(['Authorization', `Basic ${Buffer.from(login).toString('base64')}`]);
  }
  return fileHeadersOf(pairs);
}

/** `user:password` for a host, of a netrc as curl and ftp read it; undefined: none. */
export function netrcLogin(text: string, host: string): string | undefined {
  const plain = text.replaceAll(/^[ \t]*macdef[ \t][^\n]*\n(?:[^\n]+\n?)*/gm, '').replaceAll(/^[ \t]*#.*$/gm, '');
  const words = plain.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  const entries: { host: string | undefined; login?: string; password?: string }[] = [];
  for (let i = 0; i < words.length; i += 1) {
    const entry = entries.at(-1);
    if (words[i] === 'default') entries.push({ host: undefined });
    else if (words[i] === 'machine') entries.push({ host: bare(words[++i]).toLowerCase() });
    else if (words[i] === 'login' && entry) entry.login = bare(words[++i]);
    else if (words[i] === 'password' && entry) entry.password = bare(words[++i]);
    else if (words[i] === 'account') i += 1;
  }
  const found = entries.find((one) => one.host === host) ?? entries.find((one) => one.host === undefined);
  return found?.login === undefined ? undefined : `${found.login}:${found.password ?? ''}`;
}

function bare(word = ''): string {
  return word.startsWith('"') ? word.slice(1, -1).replaceAll(/\\(.)/g, '$1') : word;
}

function linesIn(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

function pairIn(line: string): [string, string] {
  const colon = line.indexOf(':');
  if (colon < 1) throw new UsageWrong({ why: "a header is written as 'Name: value'", command: 'hawker get' });
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}

/** A pipe has no mode that counts. */
async function secretText(path: string): Promise<string> {
  const unusable = (why: string) => new GetLoginUnusable({ file: path, why });
  const bytes = await Promise.all([readUpTo(path, MAX_BYTES), stat(path)]).then(
    ([bytes, info]) => {
      if (info.isFile() && !isPrivate(info)) {
        throw unusable(`others on this machine can use it (mode ${octal(info.mode)}); chmod 0600 ${path}`);
      }
      return bytes;
    },
    (error: unknown) => {
      throw unusable(`it cannot be read (${codeOf(error)})`);
    },
  );
  if (!bytes) throw unusable(`it is larger than ${MAX_BYTES} bytes`);
  return bytes.toString();
}
