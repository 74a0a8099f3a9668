import type { Assignment } from '../protocol/coordinator.ts';
import { MAX_READS, OWN_LEASES } from '../protocol/limits.ts';

/** An origin read under way. */
interface Lease {
  /** Its number at the supernode; undefined: the session does not know it. */
  remote: number | undefined;
  /** The piece that it is at. */
  next: number;
  /** Infinity while the blob's size is not known. */
  last: number;
}

/**
 * The origin reads of one ticket, whoever granted them, and how far each is. The download knows each by a number that is given
 * here, and learns of grants and cuts through `listener`.
 */
export class TicketLeases {
  readonly #listener: (assignment: Assignment) => void;
  readonly #all = new Map<number, Lease>();
  #last = 0;

  constructor(listener: (assignment: Assignment) => void) {
    this.#listener = listener;
  }

  /** A number that none has yet. */
  newId(): number {
    this.#last += 1;
    return this.#last;
  }

  /** `id`: from `newId`. `remote`: its number at the supernode, where that has granted it. `last`: Infinity is to the blob's end. */
  grant(id: number, { remote, first, last }: { remote: number | undefined; first: number; last: number }): void {
    this.#all.set(id, { remote, next: first, last });
    this.#listener({ kind: 'lease', lease: id, run: { first, count: last - first + 1 } });
  }

  /** It ends with piece `last` now, if that is sooner. */
  cut(id: number | undefined, last: number): void {
    const lease = id === undefined ? undefined : this.#all.get(id);
    if (id === undefined || !lease || last >= lease.last) return;
    lease.last = last;
    this.#listener({ kind: 'cut', lease: id, last });
  }

  /** Undefined: the supernode has granted none of that number, or it is over. */
  byRemote(remote: number): number | undefined {
    for (const [id, lease] of this.#all) if (lease.remote === remote) return id;
    return undefined;
  }

  /** Undefined: the session does not know it. */
  remoteOf(id: number): number | undefined {
    return this.#all.get(id)?.remote;
  }

  /** It is over: whether it brought all that it was to bring; undefined: there is no such read. */
  ended(id: number): 'whole' | 'early' | undefined {
    const lease = this.#all.get(id);
    this.#all.delete(id);
    return lease && (lease.next <= lease.last ? 'early' : 'whole');
  }

  /** The session that knew them is over. */
  forgetRemote(): void {
    for (const lease of this.#all.values()) lease.remote = undefined;
  }

  /** None goes past the blob's last piece. */
  clip(pieceCount: number): void {
    for (const lease of this.#all.values()) lease.last = Math.min(lease.last, pieceCount - 1);
  }

  came(piece: number): void {
    for (const lease of this.#all.values()) if (lease.next === piece) lease.next += 1;
  }

  /** Whether any of them still brings something. */
  get areReading(): boolean {
    for (const { next, last } of this.#all.values()) if (next <= last) return true;
    return false;
  }

  /** The pieces that are still to come by them, as far as that is known. */
  *coming(): Generator<number> {
    for (const { next, last } of this.#all.values()) {
      if (Number.isFinite(last)) for (let piece = next; piece <= last; piece += 1) yield piece;
    }
  }

  /** Those that go on, for a session that knows none of them: under numbers that its supernode does not give. */
  renumbered(): [lease: number, piece: number, count: number][] {
    const reading: [number, number, number][] = [];
    for (const [id, lease] of this.#all) {
      if (reading.length >= MAX_READS) break;
      if (lease.next > lease.last) continue;
      lease.remote = OWN_LEASES + id;
      const count = lease.last - lease.next + 1;
      reading.push([lease.remote, lease.next, Number.isFinite(count) ? count : 0]);
    }
    return reading;
  }
}
