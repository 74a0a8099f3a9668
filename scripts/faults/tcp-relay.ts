import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * `pass`: what comes goes on. `half-open`: connections are taken, and nothing ever comes back. `not-hawker`: a web server that
 * knows nothing of Hawker. `slow`: each chunk is on its way for `delayMs`, both ways.
 */
export type RelayMode = 'pass' | 'half-open' | 'not-hawker' | 'slow';
/** To the supernode, or from it. */
export type Way = 'onward' | 'back';

const PAGE = '<html><body><h1>It works!</h1></body></html>\n';
const WEB_ANSWER = [
  'HTTP/1.1 200 OK',
  'Server: nginx',
  'Content-Type: text/html',
  `Content-Length: ${PAGE.length}`,
  'Connection: close',
  '',
  PAGE,
].join('\r\n');

/** One direction of a connection. */
interface Pipe {
  readonly from: Socket;
  readonly to: Socket;
  readonly way: Way;
}

/** Stands before a supernode, and is what may stand there instead of one. */
export class TcpRelay {
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #delayMs: number;
  readonly #sockets = new Set<Socket>();
  /** Who waits for a message to be cut, by its way. */
  readonly #cuts = new Map<Way, () => void>();
  #mode: RelayMode = 'pass';
  #address = '';
  #port = 0;

  private constructor(target: { host: string; port: number }, delayMs: number) {
    this.#target = target;
    this.#delayMs = delayMs;
    this.#server = createServer((socket) => this.#taken(socket));
  }

  static async start(listen: string, target: { host: string; port: number }, delayMs = 0): Promise<TcpRelay> {
    const relay = new TcpRelay(target, delayMs);
    relay.#address = listen;
    await relay.up();
    return relay;
  }

  get url(): string {
    return `http://${this.#address}:${this.#port}`;
  }

  /** Listens, on the same port as before. */
  async up(): Promise<void> {
    this.#server.listen(this.#port, this.#address);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Connections are refused, those that stand are broken. */
  async down(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** From now on; the connections that stand are broken. */
  become(mode: RelayMode): void {
    this.#mode = mode;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The next connection on which anything goes that way is broken, one byte before the end of what goes. Resolves when it was. */
  cutNext(way: Way): Promise<void> {
    return new Promise((resolve) => {
      this.#cuts.set(way, resolve);
    });
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.down();
  }

  #taken(socket: Socket): void {
    this.#keep(socket);
    if (this.#mode === 'half-open') socket.resume();
    else if (this.#mode === 'not-hawker') socket.once('data', () => socket.end(WEB_ANSWER));
    else {
      const onward = connect(this.#target);
      this.#keep(onward);
      const delayMs = this.#mode === 'slow' ? this.#delayMs : 0;
      this.#pipe({ from: socket, to: onward, way: 'onward' }, delayMs);
      this.#pipe({ from: onward, to: socket, way: 'back' }, delayMs);
    }
  }

  /** A session's messages are few and small: nothing needs to be held back for a slow reader. */
  #pipe(pipe: Pipe, delayMs: number): void {
    const { from, to } = pipe;
    const later = (act: () => void) => void (delayMs > 0 ? setTimeout(act, delayMs) : act());
    from.on('data', (chunk: Buffer) => later(() => this.#pass(chunk, pipe)));
    from.on('end', () => later(() => to.end()));
    from.on('close', () => later(() => to.destroy()));
  }

  #pass(chunk: Buffer, { from, to, way }: Pipe): void {
    if (!to.writable) return;
    const cut = this.#cuts.get(way);
    if (!cut) {
      to.write(chunk);
      return;
    }
    this.#cuts.delete(way);
    from.pause();
    to.write(chunk.subarray(0, -1), () => {
      from.destroy();
      to.destroy();
      cut();
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy()).once('close', () => this.#sockets.delete(socket));
  }
}
