import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Digest, DigestAlgorithm } from '../../base/digest.ts';
import { asError, codeAndTodo, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { MiB } from '../../base/units.ts';
import { HashThreadDied } from './errors.ts';
import type { Stretch, WholePiece } from './piece-crcs.ts';
import type { BlobSums } from './sums.ts';

/** A smaller blob is hashed where its bytes come in: the messages would cost it more time than they save. */
export const HASH_THREAD_LEAST_BYTES = 8 * MiB;
/**
 * With fewer processors there is none: two are busy with origin, proxy and client anyway, so that only the sum of CPU time counts, and
 * messages between threads add to it (measured there on cold pulls of 512 MiB: 716 instead of 693 MiB/s, for 1.96 instead of 1.78 CPU-s
 * a GiB; from a peer 469 instead of 534 MiB/s).
 */
const LEAST_PROCESSORS = 3;
/** After so many deaths it is not started again. */
const MOST_DEATHS = 3;
/** Its heap holds little: the bytes are shared, not sent. */
const HEAP_LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 };

/** `bytes` undefined: the blob's sums are not used any more. */
export interface HashRequest {
  readonly blob: number;
  readonly algorithm: DigestAlgorithm;
  readonly bytes: Uint8Array | undefined;
  readonly isNext: boolean;
  readonly stretches: readonly Stretch[];
}

export interface HashReply {
  readonly whole: WholePiece[];
  /** Of all that has been hashed of that blob so far. */
  readonly digest: Digest | undefined;
}

interface Waiting {
  resolve(reply: HashReply): void;
  reject(error: unknown): void;
}

/**
 * One thread that computes the sums of all large blobs that come in, so that the main thread is free to receive and to send. It
 * starts when the first such blob comes, which does not wait for it. Buffers of the pool are memory that both threads see; other
 * bytes are copied.
 */
export class HashThread {
  readonly #log: Logger;
  #worker: Worker | undefined;
  #isReady = false;
  #isClosed = false;
  #deaths = 0;
  #lastBlob = 0;
  /** Requests that wait for their replies, which come in the same order. */
  #waiting: Waiting[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  /** One, where this machine has the processors for it. */
  static where(log: Logger, processors = availableParallelism()): HashThread | undefined {
    return processors < LEAST_PROCESSORS ? undefined : new HashThread(log);
  }

  /** The sums of one blob. Undefined: they are to be computed in this thread, because the other is not up. */
  open(algorithm: DigestAlgorithm): BlobSums | undefined {
    if (!this.#isReady) {
      this.#start();
      return undefined;
    }
    this.#lastBlob += 1;
    return new RemoteSums(this.#lastBlob, algorithm, this.#worker!, this.#waiting);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #start(): void {
    if (this.#worker || this.#isClosed || this.#deaths >= MOST_DEATHS) return;
    try {
      const worker = new Worker(new URL('./hash-worker.js', import.meta.url), {
        resourceLimits: HEAP_LIMITS,
        // What the process itself was told to load is none of its business, and would not fit.
        execArgv: [],
      });
      this.#worker = worker;
      worker.on('message', (message: HashReply | 'ready') => {
        if (message === 'ready') this.#isReady = true;
        else this.#waiting.shift()!.resolve(message);
      });
      let cause: unknown;
      worker.on('error', (error) => {
        cause = error;
      });
      worker.on('exit', (code) => this.#gone(cause ?? new Error(`it ended with code ${code}`)));
      // It holds no process up.
      worker.unref();
    } catch (error) {
      this.#gone(error);
    }
  }

  #gone(cause: unknown): void {
    const waiting = this.#waiting;
    this.#worker = undefined;
    this.#isReady = false;
    this.#waiting = [];
    this.#deaths += 1;
    const error = new HashThreadDied({ seen: describeError(cause) }, { cause: asError(cause) });
    if (!this.#isClosed) this.#log.warn(codeAndTodo(error), error.message);
    for (const request of waiting) request.reject(error);
  }
}

class RemoteSums implements BlobSums {
  readonly #blob: number;
  readonly #algorithm: DigestAlgorithm;
  readonly #worker: Worker;
  readonly #waiting: Waiting[];
  #digest: Digest | undefined;

  constructor(blob: number, algorithm: DigestAlgorithm, worker: Worker, waiting: Waiting[]) {
    this.#blob = blob;
    this.#algorithm = algorithm;
    this.#worker = worker;
    this.#waiting = waiting;
  }

  /** Rejects with HASH_THREAD_DIED: what it had taken is lost. */
  async add(bytes: Uint8Array, isNext: boolean, stretches: readonly Stretch[]): Promise<WholePiece[]> {
    const { whole, digest } = await this.#ask(bytes, isNext, stretches);
    this.#digest = digest ?? this.#digest;
    return whole;
  }

  finish(): Digest {
    return this.#digest!;
  }

  close(): void {
    this.#post(undefined, false, []);
  }

  #ask(bytes: Uint8Array, isNext: boolean, stretches: readonly Stretch[]): Promise<HashReply> {
    return new Promise((resolve, reject) => {
      if (this.#worker.threadId === -1) {
        reject(new HashThreadDied({ seen: 'it has ended' }));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#post(bytes, isNext, stretches);
    });
  }

  #post(bytes: Uint8Array | undefined, isNext: boolean, stretches: readonly Stretch[]): void {
    const request: HashRequest = { blob: this.#blob, algorithm: this.#algorithm, bytes, isNext, stretches };
    this.#worker.postMessage(request);
  }
}
