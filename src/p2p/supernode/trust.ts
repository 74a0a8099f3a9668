import type { PeerId } from './events.ts';
import {
  ACCUSATIONS_TO_IGNORE,
  AVOID_MS,
  COMPLAINTS_TO_SUSPEND,
  FORGIVE_MS,
  MAX_AVOIDED_PER_PEER,
  MAX_SUSPECTS,
  SUSPEND_MS,
} from './limits.ts';
import type { Peer } from './state.ts';

/** From now on the receiver stays away from the sender for a while, or for longer if it does so already. */
export function avoid(receiver: Peer, sender: PeerId, ms: number, now: number): void {
  const { avoided } = receiver;
  const until = Math.max(now + ms, avoided.get(sender) ?? 0);
  avoided.delete(sender);
  avoided.set(sender, until);
  if (avoided.size > MAX_AVOIDED_PER_PEER) avoided.delete(avoided.keys().next().value!);
}

export function isAvoided(receiver: Peer, sender: Peer, now: number): boolean {
  if (receiver.avoided.size === 0) return false;
  const until = receiver.avoided.get(sender.id);
  if (until === undefined) return false;
  if (until > now) return true;
  receiver.avoided.delete(sender.id);
  return false;
}

/** The receiver has nobody else: what failed a little while ago may be tried again. */
export function forgive(receiver: Peer, now: number): void {
  for (const [sender, until] of receiver.avoided) {
    // What is over so soon was not meant for longer.
    if (until - now > FORGIVE_MS && until - AVOID_MS + FORGIVE_MS <= now) receiver.avoided.delete(sender);
  }
}

/**
 * Complaints about bad pieces, by peer id, so that coming back does not wash them off. One receiver's word parts a pair, three
 * receivers' suspend the sender; who accuses three senders is more likely wrong itself, and its word counts no more.
 */
export class Complaints {
  readonly #against = new Map<PeerId, Map<PeerId, number>>();
  readonly #by = new Map<PeerId, Map<PeerId, number>>();
  readonly #suspended = new Map<PeerId, number>();

  /** True when this complaint suspends the sender. */
  add(receiver: PeerId, sender: PeerId, now: number): boolean {
    const accused = remember(this.#by, receiver, sender, now);
    if (accused.size >= ACCUSATIONS_TO_IGNORE) {
      for (const one of accused.keys()) this.#against.get(one)?.delete(receiver);
      return false;
    }
    if (remember(this.#against, sender, receiver, now).size < COMPLAINTS_TO_SUSPEND) return false;
    this.suspend(sender, now);
    return true;
  }

  /** It is known to be wrong, without any complaint. */
  suspend(peer: PeerId, now: number): void {
    this.#against.delete(peer);
    this.#suspended.delete(peer);
    this.#suspended.set(peer, now + SUSPEND_MS);
    bound(this.#suspended);
  }

  /** When the peer may send again; undefined: it is not suspended. */
  suspendedUntil(peer: PeerId, now: number): number | undefined {
    const until = this.#suspended.get(peer);
    if (until === undefined || until > now) return until;
    this.#suspended.delete(peer);
    return undefined;
  }
}

function remember(
  log: Map<PeerId, Map<PeerId, number>>,
  of: PeerId,
  other: PeerId,
  now: number,
): ReadonlyMap<PeerId, number> {
  const entries = log.get(of) ?? new Map<PeerId, number>();
  log.delete(of);
  log.set(of, entries);
  bound(log);
  for (const [peer, at] of entries) if (at + SUSPEND_MS <= now) entries.delete(peer);
  entries.set(other, now);
  return entries;
}

function bound(log: Map<PeerId, unknown>): void {
  if (log.size > MAX_SUSPECTS) log.delete(log.keys().next().value!);
}
