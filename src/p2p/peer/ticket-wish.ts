import { Pieces } from '../../base/pieces.ts';
import type { PieceRun, Report, Want } from '../protocol/coordinator.ts';
import { MAX_PIECES, MAX_RUNS } from '../protocol/limits.ts';
import { PIECE_FAILURES, type WireRun } from '../protocol/messages.ts';
import { packCrcs, packPieces } from '../protocol/packed.ts';
import type { CoordinatorLink, TicketHost } from './remote-coordinator.ts';
import type { TicketPieces } from './ticket-pieces.ts';

export interface WishOptions {
  readonly link: CoordinatorLink;
  readonly host: Pick<TicketHost, 'reports' | 'flushReports' | 'numberOf' | 'leave'>;
  /** Of the wish, in the session of `link`. */
  readonly number: number;
  /** The number at the supernode of a lease that the download knows by another; undefined: the session does not know it. */
  readonly remoteOf: (lease: number) => number | undefined;
}

/** A ticket while it has joined a session: all that is said of it to the supernode, in the words of messages.ts. */
export class TicketWish {
  readonly #link: CoordinatorLink;
  readonly #host: WishOptions['host'];
  readonly #number: number;
  readonly #remoteOf: WishOptions['remoteOf'];
  #saidAwaited = '';

  constructor({ link, host, number, remoteOf }: WishOptions) {
    this.#link = link;
    this.#host = host;
    this.#number = number;
    this.#remoteOf = remoteOf;
  }

  /** The first word: what is wanted, and what is here. `reading`: the origin reads that go on, under numbers for this session. */
  open(
    { digest, origin, image }: Pick<Want, 'digest' | 'origin' | 'image'>,
    pieces: TicketPieces,
    reading: [lease: number, piece: number, count: number][],
  ): void {
    const { epoch } = this.#link;
    const { size } = pieces;
    const awaited = wireRuns(pieces.awaited);
    this.#saidAwaited = JSON.stringify(awaited);
    this.#host.flushReports();
    this.#tellCrcs(digest, pieces);
    this.#link.send({
      t: 'want',
      epoch,
      w: this.#number,
      digest,
      ...(size !== undefined && { size }),
      held: packPieces(pieces.held, pieces.count ?? 0),
      awaited,
      ...(origin !== undefined && { origin }),
      ...(image !== undefined && { image }),
      ...(reading.length > 0 && { reading }),
    });
  }

  /** Says it only if it is not what was said last. */
  awaiting(runs: readonly PieceRun[]): void {
    const awaited = wireRuns(runs);
    const said = JSON.stringify(awaited);
    if (said === this.#saidAwaited) return;
    this.#saidAwaited = said;
    this.#host.flushReports();
    this.#link.send({ t: 'awaiting', w: this.#number, awaited });
  }

  /** What is said of a lease that the session does not know is not said to it. */
  report(report: Report): void {
    const number = this.#number;
    switch (report.kind) {
      case 'pieces':
        if (report.size !== undefined) (this.#host.reports().s ??= []).push([number, report.size]);
        return;
      case 'no-ranges':
        (this.#host.reports().n ??= []).push(number);
        return;
      case 'progress': {
        const remote = this.#remoteOf(report.lease);
        if (remote !== undefined) (this.#host.reports().g ??= []).push([number, remote]);
        return;
      }
      case 'piece': {
        const { piece, crc32, from, ms = 0 } = report;
        const peer = from === undefined ? 0 : this.#host.numberOf(from);
        (this.#host.reports().p ??= []).push([number, piece, peer, Math.max(0, ms), crc32]);
        return;
      }
      case 'failed': {
        const reason = PIECE_FAILURES.indexOf(report.reason);
        (this.#host.reports().f ??= []).push([number, report.piece, this.#host.numberOf(report.from), reason]);
        return;
      }
      case 'ended': {
        const { lease, failure } = report;
        const remote = this.#remoteOf(lease);
        if (remote === undefined) return;
        const { code = '', final = false, retryAfterMs = 0 } = failure ?? {};
        const text = failure && code === '' ? 'UNKNOWN' : code.slice(0, 64);
        (this.#host.reports().e ??= []).push([number, remote, text, final ? 1 : 0, Math.max(0, retryAfterMs)]);
        return;
      }
      case 'reading': {
        const { lease, piece, crc32, sha256 } = report;
        const remote = this.#remoteOf(lease);
        if (remote !== undefined) (this.#host.reports().q ??= []).push([number, remote, piece, crc32, sha256]);
        return;
      }
      case 'lost':
        (this.#host.reports().x ??= []).push([number, report.piece]);
        return;
      case 'settled':
        (this.#host.reports().y ??= []).push([number, report.piece, report.crc32]);
    }
  }

  /** All pieces are here, but the whole does not have its digest. */
  dispute(): void {
    (this.#host.reports().d ??= []).push(this.#number);
  }

  /** The last word. */
  leave(): void {
    this.#host.leave(this.#number);
  }

  /** A supernode that has been told nothing yet could give others these pieces on trust only. */
  #tellCrcs(digest: Want['digest'], pieces: TicketPieces): void {
    const { size } = pieces;
    const checked = pieces.checked();
    if (size === undefined || checked.length === 0) return;
    const bits = packPieces(
      checked.map(([piece]) => piece),
      new Pieces(size).count,
    );
    const words = packCrcs(checked.map(([, crc32]) => crc32));
    this.#link.send({ t: 'announce', epoch: this.#link.epoch, parts: [[digest, size, bits, words]] });
  }
}

/** Without a count: to the blob's end. */
function wireRuns(runs: readonly PieceRun[]): WireRun[] {
  return runs
    .slice(0, MAX_RUNS)
    .filter(({ first }) => first < MAX_PIECES)
    .map(({ first, count }) => [first, Number.isFinite(count) ? Math.min(count, MAX_PIECES) : 0]);
}
