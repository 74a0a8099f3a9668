/*
 * A link with a delay, as a relay on loopback: `relay-process.js <port of the origin> <ms each way> <MiB a second>`. What comes leaves
 * again so much later, each connection at that rate at most. Tells its parent its port.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { MiB } from '../../src/base/units.ts';

/** What is on its way on one connection, as a router with a large buffer has it. */
const MOST_ON_THE_WAY_BYTES = 32 * MiB;

const [origin = 0, delayMs = 0, rate = Infinity] = process.argv.slice(2).map(Number);
const bytesPerMs = (rate * MiB) / 1000;

/** Bytes that have come in, and when they may leave. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #waiting: { readonly chunk: Buffer; readonly at: number }[] = [];
  #bytes = 0;
  /** When the link has taken all that came before. */
  #freeAt = 0;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  /** The first byte may come so much later: a connection takes a round trip to be opened. */
  constructor(from: Socket, to: Socket, openedAt: number) {
    this.#from = from;
    this.#to = to;
    from.on('data', (chunk: Buffer) => {
      this.#freeAt = Math.max(this.#freeAt, openedAt, performance.now()) + chunk.length / bytesPerMs;
      this.#waiting.push({ chunk, at: this.#freeAt + delayMs });
      this.#bytes += chunk.length;
      if (this.#bytes > MOST_ON_THE_WAY_BYTES) from.pause();
      this.#plan();
    });
    from.on('end', () => {
      this.#ended = true;
      this.#plan();
    });
    to.on('drain', () => this.#plan());
  }

  #plan(): void {
    if (this.#timer || this.#to.writableNeedDrain) return;
    const next = this.#waiting[0];
    if (next) this.#timer = setTimeout(() => this.#send(), Math.max(0, next.at - performance.now()));
    else if (this.#ended) this.#to.end();
  }

  #send(): void {
    this.#timer = undefined;
    const now = performance.now();
    let count = 0;
    for (; count < this.#waiting.length && this.#waiting[count]!.at <= now; count += 1) {
      const { chunk } = this.#waiting[count]!;
      this.#bytes -= chunk.length;
      if (!this.#to.write(chunk)) {
        count += 1;
        break;
      }
    }
    this.#waiting.splice(0, count);
    if (this.#bytes < MOST_ON_THE_WAY_BYTES) this.#from.resume();
    this.#plan();
  }
}

const server = createServer({ allowHalfOpen: true, highWaterMark: MiB }, (client) => {
  const target = connect({ host: '127.0.0.1', port: origin, allowHalfOpen: true, noDelay: true });
  client.setNoDelay(true);
  const openedAt = performance.now() + 2 * delayMs;
  const up = new Pipe(client, target, openedAt);
  const down = new Pipe(target, client, openedAt);
  void [up, down];
  for (const [one, other] of [
    [client, target],
    [target, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroySoon());
  }
});
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
