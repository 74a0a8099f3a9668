import type { Logger } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { ApiAccess } from '../http/api-access.ts';
import type { Membership } from '../p2p/protocol/membership.ts';
import { readSecretFile, type Secrets } from '../p2p/protocol/secret-file.ts';
import { loadMembership, sayChanged } from './membership.ts';
import type { Reloads } from './reloads.ts';

type Cluster = Pick<Config, 'cluster'>;

/**
 * What opens a supernode's API: the operator's token, and, to ask only, what every member can derive from the join secret. Both
 * follow their files.
 */
export async function loadApiAccess(
  { cluster }: Cluster,
  { membership, reloads, log }: { membership: Membership; reloads: Reloads; log: Logger },
): Promise<ApiAccess> {
  const operator = tokensOf(await operatorSecrets({ cluster }));
  const access = new ApiAccess({ operator, reader: membership.readerTokens });
  follow(access, { membership, reloads, log });
  return access;
}

/** A function of its own: what follows the files for the whole life of the process must not see, and so keep, a token. */
function follow(
  access: ApiAccess,
  { membership, reloads, log }: { membership: Membership; reloads: Reloads; log: Logger },
): void {
  membership.onChange(() => access.change({ reader: membership.readerTokens }));
  reloads.add({
    keys: ['cluster.operatorTokenFile'],
    take: async ({ cluster }) => {
      const secrets = await operatorSecrets({ cluster });
      const hasChanged = access.change({ operator: tokensOf(secrets) });
      const path = cluster.operatorTokenFile;
      if (hasChanged && secrets && path !== undefined) {
        sayChanged(log, 'OPERATOR_TOKEN_CHANGED', 'operator token', path, secrets);
      }
    },
  });
}

/**
 * The `Authorization` that a command has for a supernode's API: the operator's token where the configuration names it, else the
 * members' one; undefined: neither is there. Rejects with SECRET_UNUSABLE.
 */
export async function apiAuthorization({ cluster }: Cluster): Promise<string | undefined> {
  const token = (await operatorSecrets({ cluster }))?.first ?? (await loadMembership({ cluster })).readerTokens[0];
  return token === undefined ? undefined : `Bearer ${token}`;
}

async function operatorSecrets({ cluster }: Cluster): Promise<Secrets | undefined> {
  return cluster.operatorTokenFile === undefined ? undefined : readSecretFile(cluster.operatorTokenFile);
}

function tokensOf(secrets: Secrets | undefined): readonly string[] {
  if (!secrets) return [];
  return secrets.second ? [secrets.first, secrets.second.secret] : [secrets.first];
}
