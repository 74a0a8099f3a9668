import { CodedError, codeAndTodo, codeOf, describeError } from '../../base/errors.ts';
import type { Digest } from '../../base/digest.ts';
import type { Logger } from '../../base/log.ts';
import { isOriginError, OriginBadResponse } from '../../registry/errors.ts';
import type { LeaseFailure } from '../protocol/coordinator.ts';
import { BlobIncomplete, BlobWrongSize } from './errors.ts';
import type { PieceSource } from './piece-source.ts';
import { RunStopped, type RunWriter } from './run-writer.ts';

/**
 * Answers in a row that are none (a web page, another size), after which an origin is asked for this blob no more: one may come of a load balancer or
 * a proxy that was restarted just then, and the next try gives the bytes.
 */
const MAX_ODD_ANSWERS = 3;

/** Where one blob may be read from, for one client or another: the first is asked until it says no for good, then the next. */
export class Origins {
  readonly #digest: Digest;
  readonly #log: Logger;
  readonly #list: PieceSource[];
  readonly #reads: (origin: PieceSource) => Promise<void>;
  #lastError: unknown;
  /** Odd answers of the first of the list since it gave bytes. */
  #odd = 0;

  /** `reads` is called before one is read, which waits for it. */
  constructor(digest: Digest, first: PieceSource, log: Logger, reads = nothing) {
    this.#reads = reads;
    this.#digest = digest;
    this.#list = [first];
    this.#log = log;
  }

  get first(): PieceSource | undefined {
    return this.#list[0];
  }

  get names(): string[] {
    return this.#list.map((origin) => origin.name);
  }

  /** Why the last read ended early. */
  get lastError(): unknown {
    return this.#lastError;
  }

  add(origin: PieceSource): void {
    if (!this.#list.some((known) => known.name === origin.name)) this.#list.push(origin);
  }

  /**
   * Reads on from the writer's position to `end`, which is left open in the request where the blob ends there (`blobSize`): the
   * whole of a blob is then one plain GET. Undefined: all came that was wanted. `denied`: the registry has said no (401, 403,
   * 404) to those who may read it there; what one client may not read says nothing about another's right elsewhere.
   */
  async read(
    writer: RunWriter,
    { end, blobSize }: { end: number; blobSize: number | undefined },
    signal: AbortSignal,
    denied: (name: string, error: Error) => void,
  ): Promise<LeaseFailure | undefined> {
    for (;;) {
      const origin = this.#list[0];
      if (!origin) return { code: codeOf(this.#lastError), final: true };
      const isOpen = end >= (blobSize ?? Number.POSITIVE_INFINITY);
      const before = writer.position;
      const error = await this.#readFrom(origin, writer, isOpen ? undefined : end, signal);
      if (writer.position > before) this.#odd = 0;
      if (error === undefined) return undefined;
      const failure = this.#failed(origin, error, signal.aborted);
      if (!failure.final) return failure;
      if (this.#list.length > 0 && isOriginError(error) && error.answer !== undefined) denied(origin.name, error);
    }
  }

  /** The error that ended the read; undefined when all came that was wanted. */
  async #readFrom(
    origin: PieceSource,
    writer: RunWriter,
    end: number | undefined,
    signal: AbortSignal,
  ): Promise<unknown> {
    try {
      await this.#reads(origin);
      await origin.read({ start: writer.position, end }, writer, signal);
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

  #failed(origin: PieceSource, error: unknown, isExpected: boolean): LeaseFailure {
    this.#lastError = error;
    const failure = this.#failureOf(error);
    const at = this.#list.indexOf(origin);
    if (failure.final && at >= 0) {
      this.#list.splice(at, 1);
      this.#odd = 0;
    }
    if (!isExpected) {
      this.#log.warn(
        { ...codeAndTodo(error), code: failure.code, digest: this.#digest, origin: origin.name, final: failure.final },
        `a read from the origin ended early: ${describeError(error)}`,
      );
    }
    return failure;
  }

  #failureOf(error: unknown): LeaseFailure {
    const failure = failureOf(error);
    if (!failure.final || !isOdd(error)) return failure;
    this.#odd += 1;
    return this.#odd < MAX_ODD_ANSWERS ? { ...failure, final: false } : failure;
  }
}

async function nothing(_origin: PieceSource): Promise<void> {}

/** The answer was not one to what was asked. */
function isOdd(error: unknown): boolean {
  return error instanceof BlobWrongSize || (isOriginError(error) && error.code === OriginBadResponse.code);
}

function failureOf(error: unknown): LeaseFailure {
  if (isOriginError(error)) return { code: error.code, final: error.final, retryAfterMs: error.retryAfterMs };
  if (error instanceof BlobWrongSize) return { code: error.code, final: true };
  return { code: error instanceof CodedError ? error.code : codeOf(error), final: false };
}
