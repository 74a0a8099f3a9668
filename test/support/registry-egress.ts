import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** An egress proxy in this process: CONNECT, with Basic authentication if wanted. */
export class EgressProxy {
  /** The targets of the CONNECT requests, in order. */
  readonly targets: string[] = [];
  /** What its clients must send as `Proxy-Authorization`. */
  authorization: string | undefined;
  /** Answer with this instead of a tunnel; 0: not at all. */
  status = 200;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((_, res) => res.writeHead(405).end());
    this.#server.on('connect', (req, client: Socket) => {
      this.targets.push(req.url ?? '');
      this.#keep(client);
      if (this.status === 0) return;
      const refused = this.authorization !== undefined && req.headers['proxy-authorization'] !== this.authorization;
      const status = refused ? 407 : this.status;
      if (status !== 200) {
        client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      const { hostname, port } = new URL(`http://${req.url}`);
      const target = connect(Number(port || 80), hostname.replace(/^\[(.*)\]$/, '$1'), () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        client.pipe(target).pipe(client);
      });
      this.#keep(target);
      target.on('error', () => client.destroy());
    });
  }

  static async start(): Promise<EgressProxy> {
    const proxy = new EgressProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** `127.0.0.1:41234` */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }
}
