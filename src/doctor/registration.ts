import { networkInterfaces } from 'node:os';
import type { Clock } from '../base/clock.ts';
import { plainAddress } from '../base/networks.ts';
import { formatTime } from '../base/units.ts';
import { REFUSALS, type RefusalCode } from '../p2p/protocol/errors.ts';
import type { Finding } from './check.ts';
import { IdTaken, NotReady, NotRegistered } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { failed, ok, skipped } from './findings.ts';
import type { Roster, SupernodeLook } from './supernodes.ts';

/** The roster's words while it does not know yet. */
const BEING_TESTED = 'its piece port is being tested';
/** What was refused longer ago is told, and no failure. */
export const RECENT_MS = 10 * 60_000;

export type Rejected = Roster['rejected'][number];

const MEANING: Readonly<Record<string, string>> = {
  unreachable: 'this node downloads, from other nodes too, but nobody can fetch from it: it gives nothing',
  stale: 'the supernode hears nothing of this node, and gives it out to nobody',
  left: 'this node takes no part in the swarm now',
};

export interface Self {
  /** Undefined: it has never had an id, or it cannot be read. */
  readonly peer: string | undefined;
  /** Of the proxy that runs; undefined: none, or it does not say. */
  readonly instance: string | undefined;
  readonly isRunning: boolean;
}

/** What the supernode says of this node's peer: its state and why, and what of it was refused. */
export function checkRegistration(supernode: SupernodeLook | undefined, self: Self, clock: Clock): Finding {
  const about = { code: 'REGISTRATION', title: `this node at ${supernode?.url.host ?? 'the supernode'}` };
  const { roster } = supernode ?? {};
  if (!roster) return skipped(about, 'no supernode could be asked (above)');
  const refused = recent(
    roster.rejected.filter((each) => isOfThisNode(each, self.peer)),
    clock,
  )[0];
  const found = roster.peers.find(({ id }) => id === self.peer);
  if (self.isRunning && found && isOther(found, self)) {
    const { id, host, from = 'its address is not told' } = found;
    return failedBy(
      about,
      new IdTaken({ peer: id, host, from }),
      'the supernode takes one of the two only: this one is turned away',
    );
  }
  if (found?.state === 'ready') {
    return ok(
      about,
      `peer ${found.id} is ready since ${found.since}, reached at ${found.addresses[0] ?? 'no address'}`,
    );
  }
  if (found?.state === 'unreachable' && found.reason === BEING_TESTED) {
    return skipped(about, `peer ${found.id} has just registered, and is being tested: run doctor again`);
  }
  if (refused) {
    const { code, message, at, count, address } = refused;
    const ago = formatTime(Math.max(0, clock.now() - Date.parse(at)));
    const seen = `it has refused ${address} ${count === 1 ? 'once' : `${count} times`}, the last time ${ago} ago: ${message}`;
    const todo = Object.hasOwn(REFUSALS, code) ? REFUSALS[code as RefusalCode] : 'see the log of the supernode';
    return failed(about, {
      seen,
      meaning: 'this node is not in the roster: it takes no part in the swarm',
      todo,
      error: code,
    });
  }
  if (!self.isRunning)
    return skipped(about, `no proxy runs here${found ? `; its peer ${found.id} is ${found.state}` : ''}`);
  if (found) {
    const { state, since, reason } = found;
    return failedBy(about, new NotReady({ state, since, reason }), MEANING[state] ?? '');
  }
  if (self.peer === undefined) return skipped(about, 'the proxy here is alone: it has no peer id');
  return failedBy(
    about,
    new NotRegistered({ peer: self.peer }),
    'this node is not in the roster: it takes no part in the swarm',
  );
}

export function recent(rejected: readonly Rejected[], clock: Clock): Rejected[] {
  return rejected.filter(({ at }) => clock.now() - Date.parse(at) <= RECENT_MS);
}

function isOther({ instance }: Roster['peers'][number], self: Self): boolean {
  return instance !== undefined && self.instance !== undefined && instance !== self.instance;
}

/** By the address that it came from, or by the peer id that the refusal names. */
function isOfThisNode({ address, message, peer: claimed }: Rejected, peer: string | undefined): boolean {
  const own = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return own.includes(plainAddress(address)) || (peer !== undefined && (claimed === peer || message.includes(peer)));
}
