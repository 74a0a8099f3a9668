import type { SwarmEvent } from '../../src/p2p/supernode/events.ts';
import type { Flow, Link } from './flow.ts';
import type { VirtualBlob } from './virtual-blob.ts';
import type { World } from './world.ts';

/** So long the proxy waits for the next byte of the origin. */
const SILENCE_MS = 10_000;
/** While no piece gets whole, it is said so often that bytes come. */
const PROGRESS_MS = 1000;

/** One read from the origin, under a lease: one request, whose pieces come one behind the other. */
export class OriginRead {
  readonly #world: World;
  readonly #blob: VirtualBlob;
  readonly #of: { readonly peer: string; readonly digest: VirtualBlob['digest'] };
  readonly #lease: number;
  readonly #down: Link;
  readonly #events: OriginReadEvents;
  readonly #first: number;
  /** The last piece that was asked for: an HTTP request cannot be made shorter, only broken off. */
  readonly #asked: number;
  #next: number;
  #last: number;
  /** Bytes that come before the end of the piece that is being read, when it began; and when that was. */
  #bytes = 0;
  #pieceStartedAt = 0;
  #flow: Flow | undefined;
  #isOver = false;
  #isStalled = false;

  constructor(
    world: World,
    peer: string,
    down: Link,
    { blob, lease, first, last }: { blob: VirtualBlob; lease: number; first: number; last: number },
    events: OriginReadEvents,
  ) {
    this.#world = world;
    this.#blob = blob;
    this.#of = { peer, digest: blob.digest };
    this.#lease = lease;
    this.#down = down;
    this.#events = events;
    this.#first = first;
    this.#next = first;
    this.#last = last;
    this.#asked = world.scenario.ranges ? last : blob.pieces.count - 1;
  }

  /** Bytes come just now. */
  get isReading(): boolean {
    return this.#flow !== undefined && !this.#isStalled;
  }

  /** The answer begins. */
  begin(): void {
    const { scenario, network, origin } = this.#world;
    if (this.#isOver) return;
    const skipped = scenario.ranges ? 0 : this.#blob.pieces.start(this.#first);
    // The whole blob is one plain GET, whose answer says nothing about ranges.
    const isWhole = this.#first === 0 && this.#last === this.#blob.pieces.count - 1;
    if (!scenario.ranges && !isWhole) this.#send({ kind: 'no-ranges', ...this.#of });
    if (skipped === 0) this.#send({ kind: 'progress', ...this.#of, lease: this.#lease });
    this.#pieceStartedAt = this.#world.now();
    this.#bytes = skipped + this.#bytesOf(this.#next);
    this.#flow = network.start(origin, this.#down, {
      bytes: this.#bytes,
      cap: scenario.connectionRate,
      now: this.#world.now(),
      done: () => this.#pieceCame(),
    });
    this.#sayProgress(this.#next);
  }

  /** The read ends with piece `last`, or with what has come already. */
  cut(last: number): void {
    if (last >= this.#last) return;
    this.#last = last;
    if (this.#next > last && !this.#isStalled) this.#end();
  }

  /** Nothing comes any more. */
  stall(): void {
    this.#isStalled = true;
    this.#breakOff();
    this.#world.after(SILENCE_MS, () => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#events.ended(false);
      this.#send({ kind: 'ended', ...this.#of, lease: this.#lease, failure: { code: 'ORIGIN_SILENT', final: false } });
    });
  }

  /** The proxy dies. */
  die(): void {
    this.#isOver = true;
    this.#breakOff();
  }

  #pieceCame(): number {
    const world = this.#world;
    const piece = this.#next;
    world.readFromOrigin(this.#bytes);
    this.#bytes = 0;
    if (this.#isOver) return 0;
    const now = world.now();
    this.#next += 1;
    this.#events.came(piece);
    this.#send({ kind: 'piece', ...this.#of, piece, ms: now - this.#pieceStartedAt, crc32: piece });
    this.#pieceStartedAt = now;
    if (this.#next > this.#last) {
      this.#end();
      if (this.#next > this.#asked) return 0;
      this.#bytes = this.#blob.pieces.end(this.#asked) - this.#blob.pieces.start(this.#next);
    } else {
      this.#bytes = this.#bytesOf(this.#next);
      this.#sayProgress(this.#next);
    }
    return this.#bytes;
  }

  /** All that is to be read has been. What the origin sends until it knows so, and what is on its way, comes in vain. */
  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isBrokenOff = this.#next <= this.#asked;
    if (isBrokenOff) this.#world.after(this.#world.scenario.originRtt, () => this.#breakOff());
    this.#events.ended(!isBrokenOff);
    this.#send({ kind: 'ended', ...this.#of, lease: this.#lease });
  }

  #breakOff(): void {
    if (!this.#flow || this.#flow.position < 0) return;
    this.#world.readFromOrigin(this.#bytes - this.#world.network.stop(this.#flow, this.#world.now()));
  }

  #sayProgress(piece: number): void {
    this.#world.after(PROGRESS_MS, () => {
      if (this.#isOver || this.#isStalled || this.#next !== piece) return;
      // While what lies before the first piece is skipped nothing comes.
      if (this.#world.scenario.ranges || this.#next > this.#first) {
        this.#send({ kind: 'progress', ...this.#of, lease: this.#lease });
      }
      this.#sayProgress(piece);
    });
  }

  #bytesOf(piece: number): number {
    return this.#blob.pieces.end(piece) - this.#blob.pieces.start(piece);
  }

  #send(event: SwarmEvent): void {
    this.#world.send(event);
  }
}

export interface OriginReadEvents {
  came(piece: number): void;
  /** False: its connection is of no more use. */
  ended(keepsConnection: boolean): void;
}
