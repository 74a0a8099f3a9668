import type { Server, Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { isLoopbackAddress } from './loopback-host.ts';
import { Places, type PlaceLimits } from './places.ts';

/** A limit that holds is said so often for one listener, in milliseconds. */
const SAY_AGAIN_MS = 60_000;
const TODO =
  'nothing, if it is somebody who has no business here (a firewall keeps them out); if many nodes stand behind one address, they are taken in one after the other';

/**
 * Bounds the connections of those who have not shown that they belong here, by their address and all together, so that nobody takes
 * all the places of a listener. What is too much is closed at once. This machine's own are not counted: who is on it has other means.
 */
export class StrangerLimit {
  readonly #places: Places;
  readonly #deps: { readonly clock: Clock; readonly log: Logger; readonly countsLoopback?: boolean };
  /** By both ends: with TLS the socket of a request is another object than the one that was connected. */
  readonly #release = new Map<string, () => void>();
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(
    server: Server,
    limits: PlaceLimits,
    deps: { readonly clock: Clock; readonly log: Logger; readonly countsLoopback?: boolean },
  ) {
    this.#places = new Places(limits);
    this.#deps = deps;
    server.on('connection', (socket: Socket) => this.#connected(socket));
  }

  /** The one at the other end of `socket` belongs here: the connection counts no more. */
  known(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void {
    this.#release.get(keyOf(socket))?.();
  }

  #connected(socket: Socket): void {
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) return;
    if (isLoopbackAddress(remoteAddress) && this.#deps.countsLoopback !== true) return;
    const leave = this.#places.take(remoteAddress);
    if (!leave) {
      socket.destroy();
      const { network, count } = this.#places.of(remoteAddress);
      this.#say(network, count);
      return;
    }
    const key = keyOf(socket);
    const release = (): void => {
      leave();
      // Its addresses may be another connection's by now.
      if (this.#release.get(key) === release) this.#release.delete(key);
    };
    this.#release.set(key, release);
    socket.once('close', release);
  }

  #say(address: string, connections: number): void {
    const { clock, log } = this.#deps;
    if (clock.monotonic() - this.#saidAt < SAY_AGAIN_MS) return;
    this.#saidAt = clock.monotonic();
    log.warn(
      { code: 'TOO_MANY_CONNECTIONS', address, connections, todo: TODO },
      'a connection was closed at once: there are too many of those who have not shown that they belong here',
    );
  }
}

/** For a listener where nobody ever shows that they belong there. */
export function limitStrangers(...given: ConstructorParameters<typeof StrangerLimit>): StrangerLimit {
  return new StrangerLimit(...given);
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}
