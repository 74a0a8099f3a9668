import { CodedError, codeOf, describeError } from '../../base/errors.ts';
import type { Digest } from '../../base/digest.ts';
import type { Logger } from '../../base/log.ts';
import { isOriginError } from '../../registry/errors.ts';
import type { Assignment, Coordinator, LeaseFailure, PieceRun, Report, Ticket } from '../protocol/coordinator.ts';
import { BlobIncomplete, BlobWrongSize } from './errors.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import type { PieceSource } from './piece-source.ts';
import { RunStopped, RunWriter, type RunTarget } from './run-writer.ts';

/** The blob that is coming in, as the fetcher sees it. */
export interface FetchTarget extends RunTarget {
  /** Its size in bytes, once known. */
  size(): number | undefined;
  /** First and last byte (exclusive) of a run of pieces, as far as they are not here: undefined when all is. */
  missingOf(run: PieceRun): { start: number; end: number } | undefined;
  /** The byte after the piece that holds the byte at `position`. */
  pieceEndAt(position: number): number;
  /** The byte after piece `index`. */
  endOfPiece(index: number): number;
  /** The source has ended a blob whose size nobody knew: it has `size` bytes. */
  endedAt(size: number): void;
  /** The store cannot take more of it. */
  storeFailed(error: unknown): void;
  /** The registry has said no (401, 403, 404) to those who may read it at the origin `name`. */
  denied(name: string, error: Error): void;
  /** Nobody can give what is missing; `error` is the last source's. */
  gaveUp(error: unknown): void;
}

interface Run {
  readonly writer: RunWriter;
  readonly abort: AbortController;
  done: Promise<void>;
}

/** Carries out a coordinator's assignments for one blob: asks, fetches, reports. */
export class Fetcher {
  readonly #digest: Digest;
  readonly #target: FetchTarget;
  readonly #pool: BufferPool;
  readonly #log: Logger;
  readonly #origins: PieceSource[] = [];
  readonly #runs = new Map<number, Run>();
  readonly #ticket: Ticket;
  #lastError: unknown;
  #closed = false;

  constructor(options: {
    digest: Digest;
    pieceCount: number | undefined;
    held: Iterable<number>;
    coordinator: Coordinator;
    target: FetchTarget;
    origin: PieceSource;
    pool: BufferPool;
    log: Logger;
  }) {
    this.#digest = options.digest;
    this.#target = options.target;
    this.#pool = options.pool;
    this.#log = options.log;
    this.#origins.push(options.origin);
    this.#ticket = options.coordinator.want(
      { digest: options.digest, pieceCount: options.pieceCount, held: options.held },
      (assignment) => this.#assigned(assignment),
    );
  }

  /** One more repository that the blob may be read from, should the others fail. */
  addOrigin(origin: PieceSource): void {
    if (!this.#origins.some((known) => known.name === origin.name)) this.#origins.push(origin);
  }

  awaiting(runs: readonly PieceRun[]): void {
    this.#ticket.awaiting(runs);
  }

  report(report: Report): void {
    if (!this.#closed) this.#ticket.report(report);
  }

  /** Lets every run for which `isNeeded(next byte, end)` is false end with its current piece. */
  stopUnneeded(isNeeded: (position: number, end: number) => boolean): void {
    for (const { writer, abort } of this.#runs.values()) {
      if (isNeeded(writer.position, writer.stopAt)) continue;
      if (writer.finishBefore(this.#target.pieceEndAt(writer.position))) abort.abort(new RunStopped());
    }
  }

  /** Resolves when no read is under way any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.done));
  }

  /** Ends all reads at once and waits until nothing writes any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ticket.close();
    const reason = new RunStopped();
    for (const run of this.#runs.values()) run.abort.abort(reason);
    await this.idle();
  }

  #assigned(assignment: Assignment): void {
    if (this.#closed) return;
    switch (assignment.kind) {
      case 'lease':
        this.#startRun(assignment.lease, assignment.run);
        return;
      case 'cut': {
        const run = this.#runs.get(assignment.lease);
        if (run?.writer.stopBefore(this.#target.endOfPiece(assignment.last))) run.abort.abort(new RunStopped());
        return;
      }
      case 'none':
        this.#target.gaveUp(this.#lastError);
    }
  }

  #startRun(lease: number, pieces: PieceRun): void {
    const missing = this.#target.missingOf(pieces);
    if (!missing || this.#origins.length === 0) {
      queueMicrotask(() => this.report({ kind: 'ended', lease }));
      return;
    }
    const writer = new RunWriter(this.#target, this.#pool, missing.start, missing.end);
    const abort = new AbortController();
    const run: Run = { writer, abort, done: Promise.resolve() };
    this.#runs.set(lease, run);
    run.done = this.#carryOut(lease, run, missing);
  }

  async #carryOut(lease: number, { writer, abort }: Run, missing: { start: number; end: number }): Promise<void> {
    const failure = await this.#readFromOrigins(writer, missing.end, abort.signal);
    await writer.finish().catch(() => undefined);
    this.#runs.delete(lease);
    if (failure === undefined && writer.failure === undefined && this.#target.size() === undefined) {
      this.#target.endedAt(writer.position);
    }
    if (writer.position > missing.start) this.report({ kind: 'progress', lease });
    if (writer.failure === undefined) this.report({ kind: 'ended', lease, ...(failure && { failure }) });
    else if (!this.#closed) this.#target.storeFailed(writer.failure);
  }

  /** Reads on from the writer's position. An origin that says no for good is left, and the next one asked. */
  async #readFromOrigins(writer: RunWriter, end: number, signal: AbortSignal): Promise<LeaseFailure | undefined> {
    for (;;) {
      const origin = this.#origins[0]!;
      const error = await this.#readFrom(origin, writer, end, signal);
      if (error === undefined) return undefined;
      const failure = this.#failed(origin, error);
      if (!failure.final || this.#origins.length === 0) return failure;
      // What one client may not read says nothing about another's right to read it elsewhere.
      if (isOriginError(error) && error.answer !== undefined) this.#target.denied(origin.name, error);
    }
  }

  /** The error that ended the read; undefined when all came that was wanted. */
  async #readFrom(origin: PieceSource, writer: RunWriter, end: number, signal: AbortSignal): Promise<unknown> {
    try {
      // Up to the blob's end the range is left open: the whole of a blob is then one plain GET.
      const isOpen = end >= (this.#target.size() ?? Number.POSITIVE_INFINITY);
      const { position } = writer;
      await origin.read({ start: position, end: isOpen ? undefined : end }, writer, signal);
      if (writer.position >= writer.stopAt || !Number.isFinite(writer.stopAt)) return undefined;
      return new BlobIncomplete({
        digest: this.#digest,
        source: origin.name,
        at: writer.position,
        end: writer.stopAt,
      });
    } catch (error) {
      return error instanceof RunStopped ? undefined : error;
    }
  }

  #failed(origin: PieceSource, error: unknown): LeaseFailure {
    this.#lastError = error;
    const failure = failureOf(error);
    if (failure.final) this.#origins.splice(this.#origins.indexOf(origin), 1);
    if (!this.#closed) {
      this.#log.warn(
        { code: failure.code, digest: this.#digest, origin: origin.name, final: failure.final },
        `a read from the origin ended early: ${describeError(error)}`,
      );
    }
    return failure;
  }
}

function failureOf(error: unknown): LeaseFailure {
  if (isOriginError(error)) return { code: error.code, final: error.final, retryAfterMs: error.retryAfterMs };
  if (error instanceof BlobWrongSize) return { code: error.code, final: true };
  return { code: error instanceof CodedError ? error.code : codeOf(error), final: false };
}
