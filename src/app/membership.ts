import type { Config } from '../config/config.ts';
import { Membership, readSecretFile } from '../p2p/protocol/membership.ts';

/** The cluster that this process is a member of: by its join secret, or the open one of a machine's loopback. */
export async function loadMembership({ cluster }: Pick<Config, 'cluster'>): Promise<Membership> {
  return new Membership(cluster.secretFile === undefined ? undefined : await readSecretFile(cluster.secretFile));
}
