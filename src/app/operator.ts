import type { Config } from '../config/config.ts';
import { ApiAccess } from '../http/api-access.ts';
import { Membership, readSecretFile } from '../p2p/protocol/membership.ts';

type Cluster = Pick<Config, 'cluster'>;

/** What opens a supernode's API: the operator's token, and, to ask only, what every member can derive from the join secret. */
export async function loadApiAccess({ cluster }: Cluster, { readerToken }: Membership): Promise<ApiAccess> {
  return new ApiAccess({ operator: await operatorToken({ cluster }), reader: readerToken });
}

/**
 * The `Authorization` that a command has for a supernode's API: the operator's token where the configuration names it, else the
 * members' one; undefined: neither is there. Rejects with SECRET_UNUSABLE.
 */
export async function apiAuthorization({ cluster }: Cluster): Promise<string | undefined> {
  const token = (await operatorToken({ cluster })) ?? (await readerToken({ cluster }));
  return token === undefined ? undefined : `Bearer ${token}`;
}

async function operatorToken({ cluster }: Cluster): Promise<string | undefined> {
  return cluster.operatorTokenFile === undefined ? undefined : readSecretFile(cluster.operatorTokenFile);
}

async function readerToken({ cluster }: Cluster): Promise<string | undefined> {
  if (cluster.secretFile === undefined) return undefined;
  return new Membership(await readSecretFile(cluster.secretFile)).readerToken;
}
