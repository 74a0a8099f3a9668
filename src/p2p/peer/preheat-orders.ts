import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { CodedError, codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { isOriginError } from '../../registry/errors.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import { PreheatQueueFull, PreheatStopped, PreheatTooLate } from './preheat-order-errors.ts';
import type { SessionLink } from './session-link.ts';

/** Images that are fetched at the same time; further orders wait. */
const MAX_RUNNING = 2;
/** Orders that are kept: running, waiting, and those that are over, in case the supernode asks again. */
const MAX_KEPT = 64;
/** How often it is told how an order stands, where that has changed, in milliseconds. */
const TELL_MS = 500;
const MAX_MESSAGE_CHARACTERS = 1000;
const MAX_TODO_CHARACTERS = 500;
/** A code on the wire (messages.ts). */
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;

/** What is to be fetched. */
export interface PreheatWork {
  readonly image: string;
  /** What its tag stands for; undefined: that is to be found out. */
  readonly digest: Digest | undefined;
  readonly platforms: readonly string[];
}

/** How far it is: changed by who fetches, in place. */
export interface PreheatProgress {
  digest: Digest | undefined;
  /** Manifests and blobs that are known to belong to it, and those of them that are here; the same in bytes. */
  blobs: number;
  blobsHere: number;
  bytes: number;
  bytesHere: number;
}

/** Fetches an image; resolves when all of it is here. */
export type FetchImage = (work: PreheatWork, progress: PreheatProgress, signal: AbortSignal) => Promise<void>;

interface Kept {
  readonly id: string;
  readonly work: PreheatWork;
  readonly progress: PreheatProgress;
  readonly abort: AbortController;
  state: 'waiting' | 'running' | 'done' | 'failed';
  failure: Message<FromProxy, 'preheating'>['failure'];
  /** The last thing that was said of it. */
  said: string;
  cancelTimeout: () => void;
}

/** The supernode's orders to fetch images: carries them out, a few at a time, and tells how they stand. */
export class PreheatOrders {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();
  #fetch: FetchImage | undefined;
  #link: SessionLink | undefined;
  #cancelTelling: (() => void) | undefined;
  #closed = false;

  constructor(deps: { clock: Clock; log: Logger }) {
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Who fetches; until it is known orders wait. */
  fetchBy(fetch: FetchImage): void {
    this.#fetch = fetch;
    this.#startNext();
  }

  /** There is a session (another one): the supernode asks again for what it still knows of. */
  opened(link: SessionLink): void {
    this.#link = link;
    for (const order of this.#kept.values()) order.said = '';
    this.#tellAll();
  }

  lost(): void {
    this.#link = undefined;
  }

  ordered({ id, image, digest, platforms, timeoutMs }: Message<FromSupernode, 'preheat'>): void {
    if (this.#closed) return;
    const known = this.#kept.get(id);
    if (known && (digest === undefined || digest === known.progress.digest)) {
      known.said = '';
      this.#tell(known);
      return;
    }
    // Its tag stands for something else than was found out here.
    if (known) this.#drop(known);
    const progress = { digest, blobs: 0, blobsHere: 0, bytes: 0, bytesHere: 0 };
    const order: Kept = {
      id,
      work: { image, digest, platforms },
      progress,
      abort: new AbortController(),
      state: 'waiting',
      failure: undefined,
      said: '',
      cancelTimeout: () => undefined,
    };
    if (!this.#makeRoom()) {
      this.#over(order, new PreheatQueueFull({ most: MAX_KEPT }));
      return;
    }
    this.#kept.set(id, order);
    order.cancelTimeout = this.#clock.after(timeoutMs, () => {
      order.abort.abort(new PreheatTooLate({ seconds: timeoutMs / 1000 }));
      if (order.state === 'waiting') this.#over(order, order.abort.signal.reason);
    });
    this.#tell(order);
    this.#startNext();
  }

  /** The order is called off: it ends, what has come stays. Nobody waits for word of it. */
  cancelled(id: string): void {
    const order = this.#kept.get(id);
    if (!order || isOver(order)) return;
    this.#drop(order);
    const { image } = order.work;
    this.#log.info(
      { code: 'PREHEAT_CANCELLED', image, order: id },
      'the supernode has called off its order to fetch an image',
    );
    this.#startNext();
  }

  /** Ends what runs; what has come stays. */
  close(): void {
    this.#closed = true;
    this.#cancelTelling?.();
    for (const order of this.#kept.values()) this.#drop(order);
  }

  #makeRoom(): boolean {
    if (this.#kept.size < MAX_KEPT) return true;
    for (const order of this.#kept.values()) {
      if (!isOver(order)) continue;
      this.#kept.delete(order.id);
      return true;
    }
    return false;
  }

  #drop(order: Kept): void {
    this.#kept.delete(order.id);
    order.cancelTimeout();
    order.abort.abort(new PreheatStopped({}));
  }

  #startNext(): void {
    const fetch = this.#fetch;
    if (!fetch || this.#closed) return;
    let running = [...this.#kept.values()].filter(({ state }) => state === 'running').length;
    for (const order of this.#kept.values()) {
      if (running >= MAX_RUNNING) return;
      if (order.state !== 'waiting') continue;
      running += 1;
      order.state = 'running';
      void this.#run(order, fetch);
    }
  }

  async #run(order: Kept, fetch: FetchImage): Promise<void> {
    const { image } = order.work;
    const startedAt = this.#clock.monotonic();
    this.#log.info({ code: 'PREHEATING', image, order: order.id }, 'an image is fetched by order of the supernode');
    this.#tellSoon();
    let failure: unknown;
    try {
      await fetch(order.work, order.progress, order.abort.signal);
    } catch (error) {
      failure = error ?? new PreheatStopped({});
    }
    if (this.#kept.get(order.id) === order) {
      this.#over(order, failure);
      const { digest, bytes } = order.progress;
      const about = { image, digest, order: order.id, bytes, ms: Math.round(this.#clock.monotonic() - startedAt) };
      if (!order.failure) this.#log.info({ code: 'PREHEATED', ...about }, 'all of the image is in the store');
      else {
        const { code, message, todo } = order.failure;
        this.#log.warn({ code: 'PREHEAT_FAILED', cause: code, ...about, todo }, `the image is not here: ${message}`);
      }
    }
    this.#startNext();
  }

  #over(order: Kept, error: unknown): void {
    order.cancelTimeout();
    order.state = error === undefined ? 'done' : 'failed';
    if (error !== undefined) order.failure = failureOf(error);
    this.#tell(order);
  }

  /** While anything runs. */
  #tellSoon(): void {
    this.#cancelTelling ??= this.#clock.after(TELL_MS, () => {
      this.#cancelTelling = undefined;
      this.#tellAll();
      if ([...this.#kept.values()].some(({ state }) => state === 'running')) this.#tellSoon();
    });
  }

  #tellAll(): void {
    for (const order of this.#kept.values()) this.#tell(order);
  }

  /** Says how an order stands, where that is news. */
  #tell(order: Kept): void {
    const link = this.#link;
    if (!link?.isOpen) return;
    const { id, state, progress, failure } = order;
    const { digest, ...counts } = progress;
    const message: Message<FromProxy, 'preheating'> = {
      t: 'preheating',
      id,
      state: state === 'waiting' ? 'running' : state,
      ...counts,
      ...(digest && { digest }),
      ...(failure && { failure }),
    };
    const said = JSON.stringify(message);
    if (said === order.said) return;
    order.said = said;
    link.send(message);
  }
}

function isOver({ state }: Kept): boolean {
  return state === 'done' || state === 'failed';
}

/** The registry's own word, where it is behind it, says more than that no source has the blob. */
function failureOf(error: unknown): NonNullable<Kept['failure']> {
  const telling = originErrorIn(error) ?? error;
  const code = codeOf(telling);
  const todo = telling instanceof CodedError ? telling.todo : 'see the log of that node';
  return {
    code: CODE.test(code) ? code : 'UNKNOWN',
    message: describeError(error).slice(0, MAX_MESSAGE_CHARACTERS),
    todo: todo.slice(0, MAX_TODO_CHARACTERS),
  };
}

function originErrorIn(error: unknown): Error | undefined {
  for (let e = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth += 1)
    if (isOriginError(e)) return e;
  return undefined;
}
