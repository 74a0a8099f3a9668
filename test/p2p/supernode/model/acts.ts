import fc from 'fast-check';
import type { PieceFailure } from '../../../../src/p2p/protocol/coordinator.ts';
import { digest } from '../driver.ts';
import { nameOf, type Model } from './model.ts';
import { BLOBS, PEERS, type ModelBlob, type Part } from './world.ts';

const REASONS: PieceFailure[] = ['reset', 'timeout', 'busy', 'gone', 'bad'];
const ZONES = ['', 'x', 'y'];

/** Each act as often as its weight. */
const WEIGHTS = {
  join: 4,
  want: 6,
  step: 10,
  fail: 3,
  die: 2,
  leave: 2,
  lose: 2,
  boast: 2,
  impossible: 2,
  twice: 2,
  late: 2,
  pause: 2,
  goOn: 2,
  pass: 3,
  sleep: 1,
  clockBack: 1,
  seek: 2,
  nothing: 1,
  noRanges: 1,
  rateLimited: 2,
  contradict: 1,
  restart: 1,
} as const;
/** Pieces that come, one after the other, for one act. */
const STEPS = 12;
type What = keyof typeof WEIGHTS;

export interface Act {
  readonly what: What;
  readonly peer: string;
  readonly blob: ModelBlob;
  readonly pick: number;
  readonly flag: boolean;
}

export const ACTS: fc.Arbitrary<Act[]> = fc.array(
  fc.record({
    what: fc.oneof(
      ...Object.entries(WEIGHTS).map(([what, weight]) => ({ weight, arbitrary: fc.constant(what as What) })),
    ),
    peer: fc.constantFrom(...PEERS),
    blob: fc.constantFrom(...BLOBS),
    pick: fc.nat(1000),
    flag: fc.boolean(),
  }),
  // Without a size fast-check makes short lists, in which hardly anything happens.
  { minLength: 50, maxLength: 300, size: 'max' },
);

/** What each act does. */
const DOES: Readonly<Record<What, (model: Model, act: Act, part: Part) => void>> = {
  join: (model, { peer, pick, flag }) =>
    model.join(peer, { reachable: flag || pick % 3 > 0, zone: ZONES[pick % 3]!, slots: 1 + (pick % 6) }),
  want: (model, { peer, blob, pick, flag }) =>
    model.want(peer, blob, { origin: flag || pick % 2 === 0, unsized: pick % 5 === 0 }),
  step: (model, { pick, flag }) => {
    for (let n = 0; n < STEPS; n += 1) model.step(pick + n, flag);
  },
  fail: (model, { pick }) => model.fail(pick, REASONS[pick % REASONS.length]!),
  die: (model, { peer }) => model.die(peer),
  leave: (model, _, part) => model.leave(part),
  lose: (model, _, part) => model.lose(part),
  boast,
  impossible,
  twice,
  late: (model) => {
    const event = model.late.shift();
    if (!event || event.kind !== 'piece') return;
    const part = model.world.part(event.peer, event.digest);
    if (!part.wants) return;
    part.fetching.delete(event.piece);
    part.held.add(event.piece);
    model.tell(event);
    if (part.isWhole) model.leave(part);
  },
  pause: (model, { peer }) => {
    if (model.world.alive.has(peer)) model.world.paused.add(peer);
  },
  goOn: (model, { peer }) => void model.world.paused.delete(peer),
  pass: (model, { pick, flag }) => model.pass(pick * (flag ? 1.137 : 1)),
  sleep: (model, { pick }) => model.sleep(pick * pick),
  // The clock that is passed in never goes back; where it does, it stands.
  clockBack: (model, { peer, pick }) => {
    model.hear(model.driver.swarm.apply({ kind: 'leave', peer, digest: digest('none') }, model.driver.now - pick));
    model.hear(model.driver.swarm.tick(model.driver.now - pick));
  },
  seek: (model, { blob, pick }, part) => {
    if (part.wants) model.awaiting(part, { first: pick % blob.count, count: 1 + (pick % 7) });
  },
  nothing: (model, _, part) => {
    if (part.wants) model.tell({ kind: 'awaiting', ...nameOf(part), awaited: [] });
  },
  noRanges: (model, { pick }) => {
    const reads = model.world.work().filter(({ read }) => read && read.next <= read.last);
    const item = reads[pick % Math.max(1, reads.length)];
    if (!item) return;
    model.world.noRanges.add(item.part.blob.digest);
    model.tell({ kind: 'no-ranges', ...nameOf(item.part) });
  },
  rateLimited: (model, { pick }) => {
    const reads = model.world.work().filter(({ read }) => read);
    const item = reads[pick % Math.max(1, reads.length)];
    const failure = { code: 'ORIGIN_RATE_LIMITED', final: false, retryAfterMs: pick * 100 };
    if (item?.read) model.readFailed(item.part, item.read, failure);
  },
  contradict,
  restart: (model, { pick }) => {
    if (pick % 2 === 0) model.restart();
  },
};

/** It says that it has what it has not. */
function boast(model: Model, { blob, pick }: Act, part: Part): void {
  if (!model.world.alive.has(part.peer) || part.wants) return;
  const pieces = Array.from({ length: 1 + (pick % 3) }, (_, n) => (pick + n) % blob.count);
  for (const piece of pieces) {
    if (!part.held.has(piece)) part.lied.add(piece);
    part.held.add(piece);
  }
  model.tell({ kind: 'have', ...nameOf(part), size: blob.size, pieces });
}

/** What cannot be true: of strangers, of pieces that do not exist, of what nobody asked for. */
function impossible(model: Model, { peer, blob, pick }: Act): void {
  const of = {
    peer: pick % 5 === 0 ? 'stranger' : peer,
    digest: pick % 7 === 0 ? digest('no such blob') : blob.digest,
  };
  const piece = blob.count + pick;
  model.tell({ kind: 'second-reading', ...of, lease: pick, piece: pick % 50, crc32: pick, sha256: 'none' });
  model.tell({ kind: 'settled', ...of, piece: pick % 50, crc32: pick });
  if (pick % 3 === 0) model.tell({ kind: 'piece', ...of, piece, ms: -1, crc32: 0 });
  else if (pick % 3 === 1) model.tell({ kind: 'failed', ...of, piece: pick, from: 'nobody', reason: 'bad' });
  else model.tell({ kind: 'ended', ...of, lease: pick + 100_000, failure: { code: 'X', final: true } });
}

/** The same report once more, or one of a failure after all went well. */
function twice(model: Model, { pick, flag }: Act, part: Part): void {
  const [piece] = part.held;
  if (!part.wants || piece === undefined) return;
  const from = PEERS[pick % PEERS.length]!;
  if (flag)
    model.tell({ kind: 'piece', ...nameOf(part), piece, ...(pick % 2 === 0 && { from }), ms: 20, crc32: piece });
  else model.tell({ kind: 'failed', ...nameOf(part), piece, from, reason: 'bad' });
}

/** One that says another size than the others is on its own. */
function contradict(model: Model, { blob }: Act, part: Part): void {
  const known = model.driver.directory.blobs.get(blob.digest)?.pieces?.blobSize;
  if (!model.world.alive.has(part.peer) || known !== blob.size) return;
  part.drop();
  const awaited = [{ first: 0, count: 1 }];
  const said = model.driver.tell({ kind: 'want', ...nameOf(part), size: blob.size + 1, held: [], awaited });
  const own = said.filter((one) => one.peer === part.peer && 'digest' in one && one.digest === blob.digest);
  if (!own.some((one) => one.kind === 'none' && one.reason === 'alone')) throw new Error('not told that it is alone');
  model.hear(said.filter((one) => !own.includes(one)));
  model.world.forgetRanges();
}

/** Does all that in a swarm of some, and checks after each act. */
export function play(model: Model, acts: readonly Act[]): void {
  for (const peer of PEERS.slice(0, -2)) model.join(peer, { reachable: true, zone: '', slots: 4 });
  for (const act of acts) {
    DOES[act.what](model, act, model.world.part(act.peer, act.blob.digest));
    model.check();
  }
}
