import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * `pass`: what comes goes on. `half-open`: connections are taken, and nothing ever comes back. `not-hawker`: a web server that
 * knows nothing of Hawker. `slow`: each chunk is on its way for `delayMs`, both ways.
 */
export type RelayMode = 'pass' | 'half-open' | 'not-hawker' | 'slow';

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

/** Stands before a supernode, and is what may stand there instead of one. */
export class TcpRelay {
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #delayMs: number;
  readonly #sockets = new Set<Socket>();
  #mode: RelayMode = 'pass';

  private constructor(target: { host: string; port: number }, delayMs: number) {
    this.#target = target;
    this.#delayMs = delayMs;
    this.#server = createServer((socket) => this.#taken(socket));
  }

  static async start(listen: string, target: { host: string; port: number }, delayMs = 0): Promise<TcpRelay> {
    const relay = new TcpRelay(target, delayMs);
    relay.#server.listen(0, listen);
    await once(relay.#server, 'listening');
    return relay;
  }

  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}`;
  }

  /** From now on; the connections that stand are broken. */
  become(mode: RelayMode): void {
    this.#mode = mode;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.become(this.#mode);
    this.#server.close();
    await once(this.#server, 'close');
  }

  #taken(socket: Socket): void {
    this.#keep(socket);
    if (this.#mode === 'half-open') socket.resume();
    else if (this.#mode === 'not-hawker') socket.once('data', () => socket.end(WEB_ANSWER));
    else {
      const onward = connect(this.#target);
      this.#keep(onward);
      const delayMs = this.#mode === 'slow' ? this.#delayMs : 0;
      pipe(socket, onward, delayMs);
      pipe(onward, socket, delayMs);
    }
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy()).once('close', () => this.#sockets.delete(socket));
  }
}

/** A session's messages are few and small: nothing needs to be held back for a slow reader. */
function pipe(from: Socket, to: Socket, delayMs: number): void {
  const later = (act: () => void) => void (delayMs > 0 ? setTimeout(act, delayMs) : act());
  from.on('data', (chunk) => later(() => to.writable && to.write(chunk)));
  from.on('end', () => later(() => to.end()));
  from.on('close', () => later(() => to.destroy()));
}
