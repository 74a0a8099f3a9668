import type { Logger } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { Membership } from '../p2p/protocol/membership.ts';
import { readSecretFile, type Secrets } from '../p2p/protocol/secret-file.ts';
import { MembershipNeedsRestart } from './errors.ts';
import type { Reloads } from './reloads.ts';

type Cluster = Pick<Config, 'cluster'>;

/** The cluster that this process is a member of: by its join secret, or the open one of a machine's loopback. */
export async function loadMembership({ cluster }: Cluster): Promise<Membership> {
  if (cluster.secretFile === undefined) return new Membership(undefined);
  const { first, second } = await readSecretFile(cluster.secretFile);
  return new Membership(first, second);
}

/** Has the join secret read again with the configuration: whoever shares the membership has it at once. */
export function reloadMembership(membership: Membership, reloads: Reloads, log: Logger): void {
  reloads.add({
    keys: ['cluster.secretFile'],
    take: async ({ cluster: { secretFile } }) => {
      if (membership.isOpen !== (secretFile === undefined)) {
        throw new MembershipNeedsRestart({ now: membership.isOpen ? 'without a join secret' : 'with one' });
      }
      if (secretFile === undefined) return;
      const secrets = await readSecretFile(secretFile);
      if (membership.change(secrets)) sayChanged(log, 'SECRET_CHANGED', 'join secret', secretFile, secrets);
    },
  });
}

/** Says that a secret's file has changed, and nothing of what is in it. */
export function sayChanged(log: Logger, code: string, what: string, path: string, { second }: Secrets): void {
  const accepted = second
    ? `two are accepted, the ${second.role === 'second' ? 'second' : `${second.role} one`} too`
    : 'one is accepted';
  log.info(
    { code, path, accepted: second ? 2 : 1, ...(second && { second: second.role }) },
    `the ${what} has changed: ${accepted}`,
  );
}
