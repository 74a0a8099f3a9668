import type { Clock } from '../base/clock.ts';
import type { Config } from '../config/config.ts';
import { AccessRules } from '../proxy/access-rules.ts';
import { MirrorTlsUnusable, UsersFileUnusable } from '../proxy/errors.ts';
import { Logins } from '../proxy/logins.ts';
import type { Mirror } from '../proxy/mirror.ts';
import { readMirrorTls, type MirrorTls } from '../proxy/mirror-tls.ts';
import { readUsers } from '../proxy/users.ts';
import type { Reloads } from './reloads.ts';

/** Who the mirror's clients may be, and what they may read with the configured credentials. */
export interface MirrorClients {
  readonly rules: AccessRules;
  readonly logins: Logins | undefined;
  readonly tls: MirrorTls | undefined;
}

/** Throws MIRROR_TLS_UNUSABLE, USERS_FILE_UNUSABLE. */
export async function readMirrorClients({ proxy }: Config, clock: Clock): Promise<MirrorClients> {
  const { usersFile, rules } = proxy;
  return {
    rules: new AccessRules(rules),
    logins: usersFile === undefined ? undefined : new Logins({ clock, users: await readUsers(usersFile) }),
    tls: await tlsOf(proxy),
  };
}

/** Takes up rules, users and certificates again. Whether there are users, TLS and certificates of clients at all is settled at the start. */
export function reloadMirrorClients(
  reloads: Reloads,
  { rules, logins, tls }: MirrorClients,
  mirror: Pick<Mirror, 'secure'>,
): void {
  reloads.add({
    keys: ['proxy.rules'],
    take: async ({ proxy }) => rules.replace(proxy.rules),
  });
  if (logins) {
    reloads.add({
      keys: ['proxy.usersFile'],
      take: async ({ proxy }) => {
        if (proxy.usersFile === undefined) throw new UsersFileUnusable({ path: '', why: AT_START });
        logins.replace(await readUsers(proxy.usersFile));
      },
    });
  }
  if (tls) {
    reloads.add({
      keys: ['proxy.tls.cert', 'proxy.tls.key', 'proxy.tls.clientCa'],
      take: async ({ proxy }) => {
        const next = await tlsOf(proxy);
        if (next?.asksClients !== tls.asksClients) throw new MirrorTlsUnusable({ why: AT_START });
        mirror.secure(next);
      },
    });
  }
}

const AT_START = 'it can be added or taken away only with a restart';

async function tlsOf({ tls: { cert, key, clientCa } }: Config['proxy']): Promise<MirrorTls | undefined> {
  return cert === undefined || key === undefined ? undefined : readMirrorTls({ cert, key, clientCa });
}
