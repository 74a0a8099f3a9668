import type { AddressGate } from './address-gate.ts';
import { BulkConnection, requestHead, type ConnectionOwner, type TlsSettings } from './bulk-connection.ts';
import type { BulkHandler, BulkRead, BulkReader } from './bulk-reader.ts';

/** Connections to one origin at the same time. */
const MAX_CONNECTIONS = 64;
const MAX_IDLE_CONNECTIONS = 16;
/** An idle connection is kept so long, unless the origin says less. */
const KEEP_IDLE_MS = 60_000;

export interface DirectReaderOptions {
  readonly gate: AddressGate;
  readonly tls: TlsSettings;
  /** A TCP or TLS connection that takes longer is given up, in milliseconds. */
  readonly connectTimeoutMs: number;
}

/** Bodies over connections of its own, behind the address gate; kept alive, a pool for each origin. */
export class DirectReader implements BulkReader {
  readonly #options: DirectReaderOptions;
  readonly #pools = new Map<string, Pool>();

  constructor(options: DirectReaderOptions) {
    this.#options = options;
  }

  get(url: URL, headers: Readonly<Record<string, string>>, handler: BulkHandler): BulkRead {
    const request = requestHead(url, headers);
    const pool = this.#pools.get(url.origin) ?? this.#open(url.origin);
    return new Read(pool, request, handler);
  }

  /** Of the address alone: what else is in a URL is one request's, a signature maybe. */
  #open(origin: string): Pool {
    const pool = new Pool(new URL(origin), this.#options, () => this.#pools.delete(origin));
    this.#pools.set(origin, pool);
    return pool;
  }

  closeIdle(): void {
    for (const pool of this.#pools.values()) pool.closeIdle();
  }

  async close(): Promise<void> {
    for (const pool of this.#pools.values()) pool.close();
  }
}

/** One GET, from its place in the queue to its end. */
class Read implements BulkRead {
  readonly #request: string;
  readonly handler: BulkHandler;
  readonly #pool: Pool;
  #connection: BulkConnection | undefined;
  #isPaused = false;

  constructor(pool: Pool, request: string, handler: BulkHandler) {
    this.#pool = pool;
    this.#request = request;
    this.handler = handler;
    pool.enter(this);
  }

  begin(connection: BulkConnection): void {
    this.#connection = connection;
    if (this.#isPaused) connection.pause();
    const { handler } = this;
    const over = () => {
      this.#connection = undefined;
    };
    connection.ask(this.#request, {
      head: (status, headers) => handler.head(status, headers),
      data: (chunk) => handler.data(chunk),
      room: () => handler.room?.(),
      end: () => {
        over();
        handler.end();
      },
      failed: (error) => {
        over();
        handler.failed(error);
      },
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#connection?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#connection?.resume();
  }

  abort(): void {
    this.#pool.leave(this);
    this.#connection?.destroy();
    this.#connection = undefined;
  }
}

interface Idle {
  readonly connection: BulkConnection;
  readonly timer: NodeJS.Timeout;
}

class Pool implements ConnectionOwner {
  readonly #url: URL;
  readonly #options: DirectReaderOptions;
  readonly #empty: () => void;
  readonly #all = new Set<BulkConnection>();
  /** The warmest last. */
  readonly #idle: Idle[] = [];
  readonly #queue = new Set<Read>();
  #session: Buffer | undefined;

  constructor(url: URL, options: DirectReaderOptions, empty: () => void) {
    this.#url = url;
    this.#options = options;
    this.#empty = empty;
  }

  closeIdle(): void {
    while (this.#idle.length > 0) this.#take(0)!.destroy();
  }

  enter(read: Read): void {
    this.#queue.add(read);
    this.#next();
  }

  leave(read: Read): void {
    this.#queue.delete(read);
  }

  close(): void {
    const reads = [...this.#queue];
    this.#queue.clear();
    const error = new Error('this node is stopping');
    for (const connection of this.#all) connection.fail(error);
    for (const { handler } of reads) handler.failed(error);
  }

  free(connection: BulkConnection, keepMs: number): void {
    if (keepMs === 0) return;
    const timer = setTimeout(() => connection.destroy(), Math.min(keepMs, KEEP_IDLE_MS));
    timer.unref();
    connection.idle();
    this.#idle.push({ connection, timer });
    this.#next();
    if (this.#idle.length > MAX_IDLE_CONNECTIONS) this.#take(0)!.destroy();
  }

  gone(connection: BulkConnection): void {
    this.#all.delete(connection);
    const index = this.#idle.findIndex((idle) => idle.connection === connection);
    if (index !== -1) this.#take(index);
    this.#next();
    this.#endUnused();
  }

  session(session: Buffer): void {
    this.#session = session;
  }

  #next(): void {
    for (const read of this.#queue) {
      const connection = this.#warm() ?? (this.#all.size < MAX_CONNECTIONS ? this.#connect(read) : undefined);
      if (!connection) return;
      this.#queue.delete(read);
      read.begin(connection);
    }
  }

  #endUnused(): void {
    if (this.#all.size === 0 && this.#queue.size === 0) this.#empty();
  }

  #warm(): BulkConnection | undefined {
    while (this.#idle.length > 0) {
      const connection = this.#take(this.#idle.length - 1)!;
      if (connection.isOpen) return connection;
    }
    return undefined;
  }

  #take(index: number): BulkConnection | undefined {
    const [idle] = this.#idle.splice(index, 1);
    clearTimeout(idle?.timer);
    return idle?.connection;
  }

  #connect(read: Read): BulkConnection | undefined {
    const { gate, tls, connectTimeoutMs } = this.#options;
    try {
      gate.checkHost(this.#url.hostname);
    } catch (error) {
      this.#queue.delete(read);
      process.nextTick(() => read.handler.failed(error as Error));
      // A registry may redirect to any number of addresses that are refused.
      this.#endUnused();
      return undefined;
    }
    const settings = { tls, lookup: gate.lookup, connectTimeoutMs };
    const connection = new BulkConnection(this.#url, settings, this, this.#session);
    this.#all.add(connection);
    return connection;
  }
}
