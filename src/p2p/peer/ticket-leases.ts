import { MAX_READS, OWN_LEASES } from '../protocol/limits.ts';

/** An origin read under way. Its number, given here, is what the download knows it by. */
export interface Lease {
  readonly id: number;
  /** Its number at the supernode; undefined: the session does not know it. */
  remote: number | undefined;
  /** Its number at the solo ticket that granted it. */
  readonly solo: number | undefined;
  /** The piece that it is at. */
  next: number;
  /** Infinity while the blob's size is not known. */
  last: number;
}

/** The origin reads of one ticket: who granted each, under which number, and how far it is. */
export class TicketLeases {
  readonly #all = new Map<number, Lease>();
  /** Those of the present solo ticket, by their numbers there. */
  #ofSolo = new Map<number, Lease>();
  #last = 0;

  /** A number that none has yet. */
  newId(): number {
    this.#last += 1;
    return this.#last;
  }

  add(lease: Omit<Lease, 'id'>): Lease {
    const granted = { ...lease, id: this.newId() };
    this.#all.set(granted.id, granted);
    if (granted.solo !== undefined) this.#ofSolo.set(granted.solo, granted);
    return granted;
  }

  get(id: number): Lease | undefined {
    return this.#all.get(id);
  }

  byRemote(remote: number): Lease | undefined {
    for (const lease of this.#all.values()) if (lease.remote === remote) return lease;
    return undefined;
  }

  bySolo(solo: number): Lease | undefined {
    return this.#ofSolo.get(solo);
  }

  /** Its number at the present solo ticket, where that has granted it. */
  soloOf(lease: Lease): number | undefined {
    const { solo } = lease;
    return solo !== undefined && this.#ofSolo.get(solo) === lease ? solo : undefined;
  }

  delete(id: number): void {
    const lease = this.#all.get(id);
    this.#all.delete(id);
    if (lease && this.soloOf(lease) !== undefined) this.#ofSolo.delete(lease.solo!);
  }

  /** The session that knew them is over. */
  forgetRemote(): void {
    for (const lease of this.#all.values()) lease.remote = undefined;
  }

  /** The solo ticket that has granted some is over. */
  forgetSolo(): void {
    this.#ofSolo = new Map();
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
    for (const lease of this.#all.values()) {
      if (reading.length >= MAX_READS) break;
      if (lease.next > lease.last) continue;
      lease.remote = OWN_LEASES + lease.id;
      const count = lease.last - lease.next + 1;
      reading.push([lease.remote, lease.next, Number.isFinite(count) ? count : 0]);
    }
    return reading;
  }
}
