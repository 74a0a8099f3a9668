import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request that came to the origin, and what went back. */
export interface Exchange {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly range: string | undefined;
  status: number;
  /** Body bytes that left the origin. */
  bytes: number;
}

/** Holds an answer back until it is released. */
export interface Hold {
  /** Resolves when the answer has come so far. */
  readonly reached: Promise<void>;
  release(): void;
}

interface Fault {
  readonly path: string;
  /** Body bytes of the answer that go out before it acts. */
  readonly at: number;
  /** True: the answer goes on; false: the connection is closed. */
  act(): Promise<boolean>;
}

/** Stands before the origin, counts what leaves it, and breaks where a test tells it to. */
export class Relay {
  readonly exchanges: Exchange[] = [];
  /** More headers of every answer. */
  headers: Readonly<Record<string, string>> = {};
  readonly #origin: URL;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server: Server;
  #faults: Fault[] = [];
  #port = 0;
  #msPerByte = 0;
  /** When the next byte may leave, on the clock that never jumps. */
  #freeAt = 0;

  private constructor(origin: string) {
    this.#origin = new URL(origin);
    this.#server = createServer((req, res) => {
      this.#relay(req, res).catch(() => res.destroy());
    });
  }

  static async start(origin: string): Promise<Relay> {
    const relay = new Relay(origin);
    await relay.up();
    return relay;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens, on the same port as before. */
  async up(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** The origin is gone: connections are refused, the open ones broken. */
  async down(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async close(): Promise<void> {
    await this.down();
    this.#agent.destroy();
  }

  /**
   * What leaves the origin from now on leaves at this rate, all answers together, as over a link: on loopback megabytes of an
   * answer are in the sockets between before its reader has taken any of it.
   */
  paceTo(bytesPerSecond: number): void {
    this.#msPerByte = 1000 / bytesPerSecond;
  }

  /** The next answer to a GET of a path with `path` in it is broken off (FIN) after `at` body bytes. */
  cutOnce(path: string, at: number): void {
    this.#faults.push({ path, at, act: () => Promise.resolve(false) });
  }

  /** The next such answer stops after `at` body bytes until released. */
  holdOnce(path: string, at: number): Hold {
    let release = () => {};
    const released = new Promise<boolean>((resolve) => (release = () => resolve(true)));
    const reached = new Promise<void>((resolve) => {
      const act = () => {
        resolve();
        return released;
      };
      this.#faults.push({ path, at, act });
    });
    return { reached, release };
  }

  /** GETs of paths with `part` in them. */
  gets(part: string): Exchange[] {
    return this.exchanges.filter(({ method, path }) => method === 'GET' && path.includes(part));
  }

  /** Body bytes that left the origin in answer to such GETs. */
  bytesOf(part: string): number {
    return this.gets(part).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async #relay(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = req;
    const exchange: Exchange = { method, path, range: headers.range, status: 0, bytes: 0 };
    this.exchanges.push(exchange);
    const { hostname, port, host } = this.#origin;
    const forward = request({ hostname, port, method, path, agent: this.#agent, headers: { ...headers, host } });
    res.once('close', () => forward.destroy());
    req.pipe(forward);
    const [answer] = (await once(forward, 'response')) as [IncomingMessage];
    exchange.status = answer.statusCode ?? 0;
    res.writeHead(exchange.status, { ...answer.headers, ...this.headers });
    await this.#body(answer, res, exchange);
  }

  async #body(answer: IncomingMessage, res: ServerResponse, exchange: Exchange): Promise<void> {
    let fault = this.#faults.find(({ path }) => exchange.method === 'GET' && exchange.path.includes(path));
    this.#faults = this.#faults.filter((one) => one !== fault);
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      let rest = chunk;
      if (fault && exchange.bytes + chunk.length >= fault.at) {
        const before = chunk.subarray(0, fault.at - exchange.bytes);
        await this.#send(res, before, exchange);
        if (!(await fault.act())) {
          res.destroy();
          return;
        }
        rest = chunk.subarray(before.length);
        fault = undefined;
      }
      await this.#send(res, rest, exchange);
    }
    res.end();
  }

  async #send(res: ServerResponse, chunk: Buffer, exchange: Exchange): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + chunk.length * this.#msPerByte;
    if (this.#freeAt > now) await sleep(this.#freeAt - now);
    if (!res.destroyed) await send(res, chunk, exchange);
  }
}

async function send(res: ServerResponse, chunk: Buffer, exchange: Exchange): Promise<void> {
  if (chunk.length === 0) return;
  await new Promise<void>((resolve, reject) => {
    res.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  exchange.bytes += chunk.length;
}
