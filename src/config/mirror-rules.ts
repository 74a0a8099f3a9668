import { codeOf } from '../base/errors.ts';
import { isPrivate, octal } from '../base/private-file.ts';
import { LOOPBACK } from '../base/user-name.ts';
import { ConfigRefused } from './errors.ts';
import { modeOf, type FileMode } from './file-mode.ts';
import { isLoopback, parseAddress } from './formats.ts';
import type { Merged } from './layers.ts';
import type { ConfigWarning, Invalid } from './rules.ts';
import type { Settings } from './schema.ts';
import { dotted } from './settings.ts';
import type { Path } from './yaml.ts';

/** What would never do what it says. */
export function checkLogins({ proxy }: Settings, invalid: Invalid): void {
  const { tls, usersFile, listeners, rules } = proxy;
  for (const [one, other] of [
    ['cert', 'key'],
    ['key', 'cert'],
    ['clientCa', 'cert'],
  ] as const) {
    if (tls[one] !== '' && tls[other] === '') {
      throw invalid(['proxy', 'tls', one], `is set without proxy.tls.${other}`, 'cert and key, and clientCa with them');
    }
  }
  const asking: Path[] = listeners.flatMap(({ login }, i): Path[] =>
    login ? [['proxy', 'listeners', i, 'login']] : [],
  );
  if (proxy.login) asking.unshift(['proxy', 'login']);
  if (usersFile === '' && asking[0]) {
    throw invalid(asking[0], 'is true, and proxy.usersFile, with who may log in, is not set', 'false, or a users file');
  }
  if (usersFile !== '' || tls.clientCa !== '') return;
  for (const [i, { users }] of rules.entries()) {
    const nobody = users.findIndex((user) => user !== LOOPBACK);
    if (nobody === -1) continue;
    const why = `is ${users[nobody]}, and nobody can log in: neither proxy.usersFile nor proxy.tls.clientCa is set`;
    throw invalid(['proxy', 'rules', i, 'users', nobody], why, 'loopback, or one of these settings too');
  }
}

/** Whoever listens on the way has the passwords. */
export function warnOfOpenLogin({ proxy }: Settings): ConfigWarning[] {
  if (proxy.usersFile === '') return [];
  const hasTls = proxy.tls.cert !== '';
  const all = [
    { key: 'proxy.listen', listen: proxy.listen, tls: true },
    ...proxy.listeners.map(({ listen, tls = true }, i) => ({ key: `proxy.listeners[${i}]`, listen, tls })),
  ];
  const open = all.filter(({ listen, tls }) => !isLoopback(parseAddress(listen)!.host) && !(tls && hasTls));
  if (open.length === 0) return [];
  const message = `passwords of clients cross the network in clear at ${open.map(({ listen }) => listen).join(', ')}: set proxy.tls.cert and key, or listen on loopback only`;
  return [{ code: 'LOGIN_IN_CLEAR', key: open[0]!.key, message }];
}

const WRITABLE_BY_OTHERS = 0o022;
const isWrittenByOwner = ({ mode }: FileMode) => (mode & WRITABLE_BY_OTHERS) === 0;

/** The key is for Hawker alone; who writes the users file decides who may read everything. */
export async function checkMirrorFiles({ proxy }: Settings, placeOf: Merged['placeOf']): Promise<void> {
  const files = [
    { path: ['proxy', 'tls', 'cert'], file: proxy.tls.cert, isFit: () => true },
    { path: ['proxy', 'tls', 'key'], file: proxy.tls.key, isFit: isPrivate },
    { path: ['proxy', 'tls', 'clientCa'], file: proxy.tls.clientCa, isFit: () => true },
    { path: ['proxy', 'usersFile'], file: proxy.usersFile, isFit: isWrittenByOwner },
  ];
  for (const { path, file, isFit } of files) {
    if (file === '') continue;
    const refused = (why: string, todo: string) =>
      new ConfigRefused({ key: dotted(path), place: placeOf(path), why, todo });
    const about = await modeOf(file).catch((error: unknown) => {
      throw refused(`is ${file}, which cannot be read (${codeOf(error)})`, 'name a file that this user can read');
    });
    if (isFit(about)) continue;
    throw refused(
      `is ${file}, which others on this machine can use (mode ${octal(about.mode)})`,
      `chmod ${isFit === isPrivate ? '0600' : 'go-w'} ${file}`,
    );
  }
}
