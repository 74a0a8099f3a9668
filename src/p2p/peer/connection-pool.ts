import type { Clock } from '../../base/clock.ts';
import type { PieceConnection } from './piece-connection.ts';

/** As many as a proxy has pieces in flight. */
export const MAX_IDLE_PER_ADDRESS = 4;
export const MAX_IDLE = 64;
/** Shorter than a piece server's own, so that few connections are closed just as they are used again. */
export const IDLE_MS = 30_000;

/** Connections to piece servers that nobody uses just now. */
export class ConnectionPool {
  readonly #clock: Clock;
  /** The longest idle first; each with what stops its clock. */
  readonly #idle = new Map<PieceConnection, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The connection to `address` that was used last. */
  take(address: string): PieceConnection | undefined {
    const connection = this.#to(address).at(-1);
    if (connection) this.#forget(connection);
    return connection;
  }

  give(connection: PieceConnection): void {
    if (!connection.isOpen) return;
    const alike = this.#to(connection.address);
    if (alike.length >= MAX_IDLE_PER_ADDRESS) this.#drop(alike[0]!);
    else if (this.#idle.size >= MAX_IDLE) this.#drop(this.#idle.keys().next().value!);
    const stopClock = this.#clock.after(IDLE_MS, () => this.#drop(connection));
    this.#idle.set(connection, stopClock);
    connection.onIdleClose = () => this.#forget(connection);
  }

  close(): void {
    for (const connection of this.#idle.keys()) this.#drop(connection);
  }

  #to(address: string): PieceConnection[] {
    return [...this.#idle.keys()].filter((connection) => connection.address === address);
  }

  #drop(connection: PieceConnection): void {
    this.#forget(connection);
    connection.close();
  }

  #forget(connection: PieceConnection): void {
    this.#idle.get(connection)?.();
    this.#idle.delete(connection);
    connection.onIdleClose = undefined;
  }
}
