import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';

/** Takes one answer. */
export interface BulkHandler {
  /** The final status and its headers, as node gives them. */
  head(status: number, headers: IncomingHttpHeaders): void;
  /** A chunk of the body, good until it returns. */
  data(chunk: Uint8Array): void;
  /** As `ByteSink.room`; asked while a body comes as it is, without chunks. */
  room?(): Uint8Array | undefined;
  /** The body is whole. */
  end(): void;
  /** It is over: no (whole) answer came. */
  failed(error: Error): void;
}

/** One GET under way. */
export interface BulkRead {
  /** No more than what has come already, until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends it, with its connection; the handler hears no more. */
  abort(): void;
}

/** Large bodies by GET. */
export interface BulkReader {
  /** Reads `url`; redirects are answers. Throws a TypeError for a header that cannot be sent. */
  get(url: URL, headers: Readonly<Record<string, string>>, handler: BulkHandler): BulkRead;
  /** Ends the connections that nobody uses just now, where it can. */
  closeIdle(): void;
  /** Ends every connection, those in use too. */
  close(): Promise<void>;
}

/** By undici, which can also go through an egress proxy. */
export function undiciReader(dispatcher: Dispatcher): BulkReader {
  return {
    get(url, headers, handler) {
      const read = new UndiciRead(handler);
      const { origin, pathname, search } = url;
      dispatcher.dispatch({ origin, path: `${pathname}${search}`, method: 'GET', headers: { ...headers } }, read);
      return read;
    },
    // undici cannot; it ends them itself after a while.
    closeIdle: () => undefined,
    close: () => dispatcher.destroy(),
  };
}

class UndiciRead implements BulkRead, Dispatcher.DispatchHandler {
  readonly #handler: BulkHandler;
  #controller: Dispatcher.DispatchController | undefined;
  #isOver = false;

  constructor(handler: BulkHandler) {
    this.#handler = handler;
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    this.#isOver = true;
    this.#controller?.abort(new Error('nobody wants more of it'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) this.abort();
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status >= 200 && !this.#isOver) this.#handler.head(status, headers);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isOver) this.#handler.data(chunk);
  }

  onResponseEnd(): void {
    if (!this.#isOver) this.#handler.end();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (!this.#isOver) this.#handler.failed(error);
  }
}
