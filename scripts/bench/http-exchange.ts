import { connect, type Socket } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

interface Waiting {
  readonly began: number;
  readonly firstByte: (ms: number) => void;
  readonly done: (ms: number) => void;
}

/**
 * A connection that a load generator asks one thing after the other on, as cheaply as it can: HTTP/1.1, answers with a
 * Content-Length. Anything but a 200 ends it with an error.
 */
export class HttpExchange {
  readonly #socket: Socket;
  readonly #fail: (error: Error) => void;
  #waiting: Waiting | undefined;
  #head: Buffer | undefined;
  #left = -1;

  constructor(url: URL, fail: (error: Error) => void) {
    this.#fail = fail;
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    this.#socket.on('data', (chunk) => this.#take(chunk)).on('error', fail);
    this.#socket.on('close', () => this.#waiting && fail(new Error(`${url.host} has closed the connection`)));
  }

  /** `done` is called with the milliseconds until the whole answer was there, `firstByte` with those until its body began. */
  ask(request: string, done: (ms: number) => void, firstByte: (ms: number) => void = () => {}): void {
    this.#waiting = { began: performance.now(), firstByte, done };
    this.#left = -1;
    this.#socket.write(request, 'latin1');
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    let body = chunk;
    if (this.#left < 0) {
      const data = this.#head ? Buffer.concat([this.#head, chunk]) : chunk;
      const end = data.indexOf(HEAD_END);
      this.#head = end < 0 ? data : undefined;
      if (end < 0) return;
      const head = data.subarray(0, end).toString('latin1');
      const length = /^content-length: *(\d+)\r?$/im.exec(head)?.[1];
      if (!head.startsWith('HTTP/1.1 200') || length === undefined) {
        this.close();
        this.#fail(new Error(`not the answer that was wanted: ${head}`));
        return;
      }
      this.#left = Number(length);
      body = data.subarray(end + HEAD_END.length);
      // A head without a byte of the body is not what a client waits for.
      if (body.length > 0) waiting.firstByte(performance.now() - waiting.began);
      else this.#head = Buffer.alloc(0);
    } else if (this.#head) {
      waiting.firstByte(performance.now() - waiting.began);
      this.#head = undefined;
    }
    this.#left -= body.length;
    if (this.#left > 0) return;
    this.#waiting = undefined;
    this.#head = undefined;
    waiting.done(performance.now() - waiting.began);
  }
}
