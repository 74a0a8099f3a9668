import type { ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { MiB } from '../base/units.ts';
import { Changes } from './changes.ts';
import { DashboardFault } from './errors.ts';
import type { Snapshot } from './page/model.ts';

/** Who may listen at the same time. */
export const MAX_LISTENERS = 64;
/** What a listener may leave unread, in bytes: then it is dropped, and asks again when it can. */
export const MAX_BACKLOG_BYTES = 4 * MiB;
/** Between two looks at what has changed: more, where looking takes more than a twentieth of the time. */
export const TICK_MS = 1000;
const MIN_IDLE_SHARE = 20;
/** Where nothing has changed, so much is said: whoever is between, and the page itself, may not think that nobody is there. */
export const BEAT_MS = 15_000;
/** When a browser asks again. */
const RETRY_MS = 2000;

export interface EventHubOptions {
  /** Asked once a tick for all listeners, and only while there are any. */
  readonly snapshot: () => Snapshot;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Tells everybody who listens what there is and what changes, as server-sent events (HTML standard, 9.2): first `snapshot`, then
 * `change`s, and a `beat` where nothing does.
 */
export class EventHub {
  readonly #options: EventHubOptions;
  readonly #listeners = new Set<ServerResponse>();
  #changes = new Changes();
  #last: Snapshot | undefined;
  /** `#last` as an event, made when somebody needs it. */
  #lastEvent: Buffer | undefined;
  #saidAt = 0;
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor(options: EventHubOptions) {
    this.#options = options;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  get hasRoom(): boolean {
    return !this.#closed && this.#listeners.size < MAX_LISTENERS;
  }

  /** Answers with the stream; `headers` are sent beside its own. */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
    response.once('close', () => this.#drop(response));
    response.on('error', () => this.#drop(response));
    // A proxy between that collects what it passes on would make it stand still (nginx obeys the last one).
    response.writeHead(200, { ...headers, 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
    response.write(`retry: ${RETRY_MS}\n\n`);
    this.#listeners.add(response);
    if (this.#last) this.#write(response, this.#snapshotEvent());
    else this.#tick();
  }

  /** Ends all streams. */
  close(): void {
    this.#closed = true;
    for (const response of this.#listeners) response.end();
    this.#listeners.clear();
    this.#rest();
  }

  #tick(): void {
    const { clock, log } = this.#options;
    const startedAt = clock.monotonic();
    try {
      this.#look(startedAt);
    } catch (error) {
      const { code, message, todo } = new DashboardFault({});
      log.error({ code, todo }, `${message}: ${describeError(error)}`);
      for (const response of this.#listeners) response.destroy();
      this.#listeners.clear();
      this.#rest();
      return;
    }
    const took = clock.monotonic() - startedAt;
    this.#cancel = clock.after(Math.max(TICK_MS, took * MIN_IDLE_SHARE), () => this.#tick());
  }

  #look(now: number): void {
    const isFirst = !this.#last;
    const snapshot = this.#options.snapshot();
    const change = this.#changes.next(snapshot);
    this.#last = snapshot;
    if (change) this.#lastEvent = undefined;
    if (!change && now - this.#saidAt < BEAT_MS) return;
    this.#saidAt = now;
    const said = isFirst ? this.#snapshotEvent() : change ? eventOf('change', change) : eventOf('beat', {});
    for (const response of this.#listeners) this.#write(response, said);
  }

  #snapshotEvent(): Buffer {
    this.#lastEvent ??= eventOf('snapshot', this.#last);
    return this.#lastEvent;
  }

  #write(response: ServerResponse, said: Buffer): void {
    if (response.writableLength > MAX_BACKLOG_BYTES) response.destroy();
    else response.write(said);
  }

  #drop(response: ServerResponse): void {
    this.#listeners.delete(response);
    if (this.#listeners.size === 0) this.#rest();
  }

  /** Until somebody listens. */
  #rest(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#last = undefined;
    this.#lastEvent = undefined;
    this.#changes = new Changes();
  }
}

function eventOf(name: string, what: unknown): Buffer {
  return Buffer.from(`event: ${name}\ndata: ${JSON.stringify(what)}\n\n`);
}
