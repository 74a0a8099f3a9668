import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Scene } from './scene.ts';

/**
 * Stands before a piece port, as a firewall whose rules change: once it is shut, what is asked vanishes, on connections that stand and
 * on new ones, and nobody is told. Answers that are on their way still pass, so that each connection is shut off between two pieces.
 */
export class Firewall {
  /** Requests that have vanished. */
  vanished = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: Promise<number>;
  #portIs!: (port: number) => void;
  #isShut = false;

  private constructor() {
    this.#port = new Promise((resolve) => {
      this.#portIs = resolve;
    });
    this.#server = createServer((socket) => void this.#taken(socket));
  }

  /** One that is open, until the scene ends. */
  static async start(scene: Scene): Promise<Firewall> {
    const firewall = new Firewall();
    firewall.#server.listen(0, '127.0.0.1');
    await once(firewall.#server, 'listening');
    scene.rig.onClose(() => firewall.#end());
    return firewall;
  }

  /** `127.0.0.1:port`: what the peer behind it advertises. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Where that peer's piece port is, once it has one; who has come before that waits. */
  leadTo(pieces: string): void {
    this.#portIs(Number(pieces.split(':').at(-1)));
  }

  shut(): void {
    this.#isShut = true;
  }

  async #taken(socket: Socket): Promise<void> {
    this.#keep(socket);
    const onward = connect(await this.#port, '127.0.0.1');
    this.#keep(onward);
    socket.on('data', (chunk: Buffer) => {
      // A request is small: it comes as one.
      if (this.#isShut) this.vanished += 1;
      else onward.write(chunk);
    });
    onward.pipe(socket);
    onward.once('error', () => socket.destroy());
    socket.once('close', () => onward.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy()).once('close', () => this.#sockets.delete(socket));
  }

  async #end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
