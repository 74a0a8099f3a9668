import type { Assignment } from '../protocol/coordinator.ts';

/** A ticket's part in disputes: whether there is one, and which leases to read again are under way. */
export class TicketDispute {
  readonly #listener: (assignment: Assignment) => void;
  /** The number at the supernode of each such lease, by that which the listener knows. */
  readonly #reads = new Map<number, number>();
  #isOpen = false;

  constructor(listener: (assignment: Assignment) => void) {
    this.#listener = listener;
  }

  /** The supernode has been told, or will be: its help is worth more than a moment. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The bytes of the blob do not have its digest. */
  open(): void {
    this.#isOpen = true;
  }

  /** No supernode can help: the proxy is to do without. */
  alone(): void {
    this.lost();
    if (!this.#isOpen) return;
    this.#isOpen = false;
    queueMicrotask(() => this.#listener({ kind: 'dispute', isOver: true }));
  }

  /** The session is over. What is being read again is read to its end, for this proxy itself. */
  lost(): void {
    this.#reads.clear();
  }

  granted(lease: number, remote: number, run: { first: number; count: number }): void {
    this.#reads.set(lease, remote);
    this.#listener({ kind: 'read-again', lease, run });
  }

  /** The number at the supernode of a lease to read again; undefined: there is no such lease. */
  remoteOf(lease: number): number | undefined {
    return this.#reads.get(lease);
  }

  ended(lease: number): void {
    this.#reads.delete(lease);
  }
}
