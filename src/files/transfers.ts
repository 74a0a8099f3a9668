import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { codeAndTodo, describeError } from '../base/errors.ts';
import type { ByteSource } from '../base/metrics.ts';
import { TooManyFiles } from './errors.ts';

/** Files being sent at the same time. */
const MAX_SENDING = 500;
/** How many of those that are over are remembered, and how long. */
const MAX_OVER = 1000;
const OVER_KEPT_MS = 10 * 60_000;

/** How one answer with a file stands: what cannot be said in a response whose head has gone out. */
export interface TransferStatus {
  readonly state: 'sending' | 'done' | 'failed';
  /** Bytes sent, by where they came from. */
  readonly sources: Readonly<Record<ByteSource, number>>;
  readonly error: { readonly code: string; readonly message: string; readonly todo: string } | null;
}

export class Transfer {
  readonly id = randomUUID();
  readonly sources: Record<ByteSource, number> = { store: 0, peers: 0, origin: 0 };
  readonly #abort = new AbortController();
  #state: TransferStatus['state'] = 'sending';
  #error: TransferStatus['error'] = null;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  sent(source: ByteSource, bytes: number): void {
    this.sources[source] += bytes;
  }

  ended(error?: unknown): void {
    this.#state = error === undefined ? 'done' : 'failed';
    if (error === undefined) return;
    const { code, todo = 'see the log of the proxy' } = codeAndTodo(error);
    this.#error = { code, message: describeError(error), todo };
  }

  status(): TransferStatus {
    return { state: this.#state, sources: this.sources, error: this.#error };
  }
}

/** The files that are being sent, and, for minutes, how those before have ended. */
export class Transfers {
  readonly #sending = new Map<string, Transfer>();
  readonly #over = new LRUCache<string, Transfer>({ max: MAX_OVER, ttl: OVER_KEPT_MS });

  /** Throws TOO_MANY_FILES. */
  begin(): Transfer {
    if (this.#sending.size >= MAX_SENDING) throw new TooManyFiles({ limit: MAX_SENDING });
    const transfer = new Transfer();
    this.#sending.set(transfer.id, transfer);
    return transfer;
  }

  end(transfer: Transfer, error?: unknown): void {
    transfer.ended(error);
    this.#sending.delete(transfer.id);
    this.#over.set(transfer.id, transfer);
  }

  find(id: string): TransferStatus | undefined {
    return (this.#sending.get(id) ?? this.#over.get(id))?.status();
  }

  abortAll(reason: Error): void {
    for (const transfer of this.#sending.values()) transfer.abort(reason);
  }
}
