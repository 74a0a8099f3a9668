import fc from 'fast-check';
import type { Test } from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import type {
  Assignment,
  Coordinator,
  PeerTarget,
  PieceFailure,
  PieceRun,
  Ticket,
  Want,
} from '../../src/p2p/protocol/coordinator.ts';
import type { ManualClock } from './manual-clock.ts';

const digest = digestOf('a blob');

/** A proxy that carries out assignments piece by piece, in the order in which a test tells it to. */
export class ScriptedProxy {
  readonly held: Set<number>;
  readonly assignments: Assignment[] = [];
  readonly leases = new Map<number, { next: number; last: number }>();
  /** Pieces that are being fetched, from whom. */
  readonly fetches = new Map<number, PeerTarget>();
  readonly ticket: Ticket;
  #inCall = false;
  gaveUp = false;

  constructor(
    coordinator: Coordinator,
    pieceCount: number | undefined,
    held: Iterable<number> = [],
    want: Partial<Want> = {},
  ) {
    this.held = new Set(held);
    const size = pieceCount === undefined ? undefined : pieceCount * MiB;
    this.ticket = coordinator.want(
      { digest, pieceCount, size, held: this.held, origin: 'registry.example', ...want },
      (assignment) => this.#assigned(assignment),
    );
  }

  #assigned(assignment: Assignment): void {
    if (this.#inCall) throw new Error('an assignment came from within a call');
    this.assignments.push(assignment);
    if (assignment.kind === 'none') this.gaveUp = true;
    else if (assignment.kind === 'fetch') this.fetches.set(assignment.piece, assignment.from);
    else if (assignment.kind === 'cut' && this.leases.has(assignment.lease))
      this.leases.get(assignment.lease)!.last = assignment.last;
    else if (assignment.kind === 'lease') {
      const { first, count } = assignment.run;
      this.leases.set(assignment.lease, { next: first, last: first + count - 1 });
    }
  }

  call(work: () => void): void {
    this.#inCall = true;
    try {
      work();
    } finally {
      this.#inCall = false;
    }
  }

  await(...runs: PieceRun[]): void {
    this.call(() => this.ticket.awaiting(runs));
  }

  /** Reads one piece of a lease; ends the lease with its last one. */
  step(lease: number): void {
    const run = this.leases.get(lease)!;
    if (run.next > run.last) {
      this.end(lease);
      return;
    }
    const piece = run.next;
    run.next += 1;
    this.held.add(piece);
    this.call(() => {
      this.ticket.report({ kind: 'progress', lease });
      this.ticket.report({ kind: 'piece', piece, crc32: 0, source: 'origin' });
    });
  }

  /** A piece has come from the peer that was to give it. */
  give(piece: number): void {
    const from = this.fetches.get(piece)!.peer;
    this.fetches.delete(piece);
    this.held.add(piece);
    this.call(() => this.ticket.report({ kind: 'piece', piece, crc32: 0, source: 'peers', from }));
  }

  /** It has not. */
  fail(piece: number, reason: PieceFailure): void {
    const from = this.fetches.get(piece)!.peer;
    this.fetches.delete(piece);
    this.call(() => this.ticket.report({ kind: 'failed', piece, from, reason }));
  }

  end(lease: number, failure?: { code: string; final: boolean; retryAfterMs?: number }): void {
    this.leases.delete(lease);
    this.call(() => this.ticket.report({ kind: 'ended', lease, ...(failure && { failure }) }));
  }
}

export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** A coordinator, and how to wait until it has answered what was said to it so far. */
export interface CoordinatorRig {
  readonly coordinator: Coordinator;
  readonly clock: ManualClock;
  readonly settle?: () => Promise<void>;
}

/** What every coordinator must do for a proxy that can read the origin. */
export function coordinatorConformance(
  t: Test,
  name: string,
  make: () => CoordinatorRig | Promise<CoordinatorRig>,
): void {
  t.test(`${name}: a proxy that does as it is told gets all that it awaits, each piece once`, async () => {
    const scenario = fc.record({
      pieceCount: fc.integer({ min: 1, max: 60 }),
      held: fc.array(fc.nat(59)),
      awaited: fc.array(fc.record({ first: fc.nat(59), count: fc.integer({ min: 1, max: 60 }) }), {
        minLength: 1,
        maxLength: 4,
      }),
      choices: fc.array(fc.nat(1000), { minLength: 50, maxLength: 50 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ pieceCount, held, awaited, choices }) => {
        const { coordinator, clock, settle: settled = settle } = await make();
        const here = held.filter((piece) => piece < pieceCount);
        const proxy = new ScriptedProxy(coordinator, pieceCount, here);
        const runs = awaited
          .map(({ first, count }) => ({ first: first % pieceCount, count }))
          .map(({ first, count }) => ({ first, count: Math.min(count, pieceCount - first) }));
        proxy.await(...runs);
        const wanted = new Set(runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i)));
        const read = new Set(here);
        let brokeOff = false;
        for (let turn = 0; turn < 2000; turn += 1) {
          await settled();
          const leases = [...proxy.leases.keys()];
          if (leases.length === 0 && [...wanted].every((piece) => proxy.held.has(piece))) {
            proxy.ticket.close();
            return;
          }
          if (leases.length === 0) {
            await clock.advance(10_000);
            continue;
          }
          const choice = choices[turn % choices.length]!;
          const lease = leases[choice % leases.length]!;
          const { next, last } = proxy.leases.get(lease)!;
          // One in nine reads breaks off; the rest of it has to come another way.
          brokeOff = !brokeOff && choice % 9 === 0;
          if (brokeOff) proxy.end(lease, { code: 'ORIGIN_CUT', final: false });
          else {
            if (next <= last && read.has(next)) throw new Error(`piece ${next} was assigned twice`);
            if (next <= last) read.add(next);
            proxy.step(lease);
          }
        }
        throw new Error(`not all that was awaited came: ${JSON.stringify({ runs, held: [...proxy.held] })}`);
      }),
      { numRuns: 60 },
    );
  });

  t.test(`${name}: what fails for good is given up, and a closed ticket is silent`, async (t) => {
    const { coordinator, clock, settle: settled = settle } = await make();
    const proxy = new ScriptedProxy(coordinator, 4);
    proxy.await({ first: 0, count: 4 });
    await settled();
    t.same(proxy.assignments, [{ kind: 'lease', lease: 1, run: { first: 0, count: 4 } }]);
    proxy.end(1, { code: 'ORIGIN_NOT_FOUND', final: true });
    await settled();
    t.ok(proxy.gaveUp);

    const closed = new ScriptedProxy(coordinator, 4);
    closed.await({ first: 0, count: 4 });
    closed.ticket.close();
    await settled();
    await clock.advance(60_000);
    t.same(closed.assignments, []);
  });

  t.test(`${name}: nothing awaited, nothing assigned; a blob of unknown size is one read from the front`, async (t) => {
    const { coordinator, settle: settled = settle } = await make();
    const proxy = new ScriptedProxy(coordinator, undefined);
    await settled();
    t.same(proxy.assignments, []);
    proxy.await({ first: 0, count: Number.POSITIVE_INFINITY });
    await settled();
    t.match(proxy.assignments, [{ kind: 'lease', run: { first: 0, count: Number.POSITIVE_INFINITY } }]);
    proxy.call(() => proxy.ticket.report({ kind: 'pieces', pieceCount: 3, size: 3 * MiB }));
    await settled();
    t.equal(proxy.assignments.length, 1, 'the one read goes on');
  });
}
