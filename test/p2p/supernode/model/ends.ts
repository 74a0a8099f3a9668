import { SUSPEND_MS } from '../../../../src/p2p/supernode/limits.ts';
import type { Model } from './model.ts';
import { PEERS, type Part } from './world.ts';

/** Enough to bring everything to everybody, one piece at a time. */
const MAX_TURNS = 20_000;
/** Longer than any wait that the swarm imposes. */
const MAX_SETTLING_MS = 1_200_000;

/** From here on all goes well and everybody tells the truth, and all is awaited. */
export function settle(model: Model): void {
  const { world } = model;
  world.paused.clear();
  for (const part of world.parts()) if (part.lied.size > 0 && !part.wants) model.lose(part);
  for (const part of world.parts())
    if (part.wants && world.alive.has(part.peer)) model.awaiting(part, { first: 0, count: part.blob.count });
  const end = model.driver.now + MAX_SETTLING_MS;
  for (let turns = 0; turns < MAX_TURNS && model.driver.now < end; turns += 1) {
    if (![...world.parts()].some((part) => part.wants && !part.toldNone)) return;
    if (!model.step(turns)) model.pass(500);
    if (turns % 50 === 49) model.pass(100);
    model.rules.state(model.driver);
  }
}

/** All that it misses is at others who can be reached. */
function couldBeServed(model: Model, part: Part): boolean {
  const givers = [...model.world.parts({ digest: part.blob.digest })].filter(({ peer }) => {
    return peer !== part.peer && model.driver.directory.peers.get(peer)?.isSource === true;
  });
  for (let piece = 0; piece < part.blob.count; piece += 1)
    if (!part.held.has(piece) && !givers.some(({ held }) => held.has(piece))) return false;
  return true;
}

/** Everybody who wants something has it, or was rightly told that nobody can give it. */
export function allAreServed(model: Model): void {
  for (const part of model.world.parts()) {
    if (!part.wants) continue;
    const who = `${part.peer} with ${part.held.size} of ${part.blob.count} pieces`;
    if (!part.toldNone) throw new Error(`${who} was forgotten`);
    if (part.origin) throw new Error(`${who} could read the origin itself`);
    if (couldBeServed(model, part))
      throw new Error(`${who} was told that nobody can give the rest, and others have it`);
  }
}

/** All leave: nothing of them stays. */
export function leaveNothing(model: Model): void {
  for (const part of model.world.parts()) model.leave(part);
  model.check();
  const left = model.driver.swarm.stats();
  if (left.transfers + left.leases + left.wishes > 0) throw new Error(`left behind: ${JSON.stringify(left)}`);
  for (const peer of PEERS) model.die(peer);
  model.check();
  // Suspensions are remembered longest.
  model.pass(SUSPEND_MS);
  const { peers, blobs, timers } = model.driver.swarm.stats();
  if (peers + blobs + timers > 0) throw new Error(`${peers} peers, ${blobs} blobs, ${timers} timers are left`);
  if (model.driver.swarm.nextTick !== Number.POSITIVE_INFINITY) throw new Error('it wants to be called again');
}
