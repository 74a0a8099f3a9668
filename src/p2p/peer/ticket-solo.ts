import type { Assignment, Coordinator, PieceRun, Report, Ticket, Want } from '../protocol/coordinator.ts';
import type { TicketLeases } from './ticket-leases.ts';

/**
 * A ticket while it is alone: its ticket at the coordinator that decides without a supernode. That numbers leases in its own way,
 * and anew each time; the reads of all times are in `leases`, under the numbers that the download knows. `listener` is told
 * what it assigns, in those numbers, except for leases and cuts, of which `leases` tells.
 */
export class TicketSolo {
  readonly #ticket: Ticket;
  readonly #leases: TicketLeases;
  readonly #listener: (assignment: Assignment) => void;
  /** The leases that it has granted and that run: their numbers in `leases`, by those of the solo coordinator. */
  readonly #granted = new Map<number, number>();

  constructor(solo: Coordinator, want: Want, leases: TicketLeases, listener: (assignment: Assignment) => void) {
    this.#leases = leases;
    this.#listener = listener;
    this.#ticket = solo.want(want, (assignment) => this.#assigned(assignment));
  }

  awaiting(runs: readonly PieceRun[]): void {
    this.#ticket.awaiting(runs);
  }

  /** Whether that lease runs and is one that it has granted since it is alone. */
  hasGranted(lease: number): boolean {
    return this.#numberOf(lease) !== undefined;
  }

  /** What is said of a lease that it has not granted does not concern it. */
  report(report: Report): void {
    if (report.kind !== 'progress' && report.kind !== 'ended') {
      this.#ticket.report(report);
      return;
    }
    const lease = this.#numberOf(report.lease);
    if (lease === undefined) return;
    if (report.kind === 'ended') this.#granted.delete(lease);
    this.#ticket.report({ ...report, lease });
  }

  close(): void {
    this.#ticket.close();
  }

  #numberOf(lease: number): number | undefined {
    for (const [number, id] of this.#granted) if (id === lease) return number;
    return undefined;
  }

  #assigned(assignment: Assignment): void {
    switch (assignment.kind) {
      case 'lease': {
        const { first, count } = assignment.run;
        const id = this.#leases.newId();
        this.#granted.set(assignment.lease, id);
        this.#leases.grant(id, { remote: undefined, first, last: first + count - 1 });
        return;
      }
      case 'cut':
        this.#leases.cut(this.#granted.get(assignment.lease), assignment.last);
        return;
      case 'fetch':
      case 'none':
      case 'read-again':
      case 'second-reading':
      case 'dispute':
        this.#listener(assignment);
    }
  }
}
