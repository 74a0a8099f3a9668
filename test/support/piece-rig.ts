import { systemClock, type Clock } from '../../src/base/clock.ts';
import type { Digest } from '../../src/base/digest.ts';
import { Limiter } from '../../src/base/limiter.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { MiB } from '../../src/base/units.ts';
import { BufferPool } from '../../src/http/buffer-pool.ts';
import type { Shelf } from '../../src/p2p/peer/downloads.ts';
import type { PeerIdentity, PieceAuth } from '../../src/p2p/peer/piece-auth.ts';
import { PieceClient, type PeerAddress } from '../../src/p2p/peer/piece-client.ts';
import { PieceServer, type PieceServerOptions } from '../../src/p2p/peer/piece-server.ts';
import type { OpenPart } from '../../src/p2p/peer/upload.ts';
import { UploadSlots } from '../../src/p2p/peer/upload-slots.ts';
import { PATIENCE_MS } from './patience.ts';
import type { Ends } from './registry-client.ts';

export const SERVER: PeerIdentity = { peer: 'peer-a', instance: 'a1' };
export const RECEIVER = 'peer-b';

/** Tokens that say for whom they are and who asks, and nothing secret: enough to tell good ones from bad ones. */
export function plainAuth(self: string): PieceAuth {
  return {
    token: (sender) => `good.${self}.${sender.peer}`,
    check: (token) =>
      /^good\.([\w-]+)\.([\w-]+)$/.exec(token)?.slice(1).join() === `${RECEIVER},${self}` ? RECEIVER : undefined,
  };
}

/** A shelf in memory. */
export class MemoryShelf implements Shelf {
  readonly blobs = new Map<Digest, Buffer>();
  /** Blobs that are open now. */
  openCount = 0;
  /** Reads from this byte on fail. */
  failFrom = Infinity;
  /** While set, reads from `from` on wait for `until`. */
  gate: { readonly from: number; readonly until: Promise<void> } | undefined;

  sizeOf(digest: Digest): number | undefined {
    return this.blobs.get(digest)?.length;
  }

  async open(digest: Digest) {
    const bytes = this.blobs.get(digest);
    if (!bytes) return undefined;
    this.openCount += 1;
    let closed = false;
    return {
      digest,
      size: bytes.length,
      read: async (buffer: Uint8Array, position: number) => {
        if (this.gate && position >= this.gate.from) await this.gate.until;
        if (position >= this.failFrom) throw new Error('the disk is gone');
        return bytes.copy(buffer, 0, position, Math.min(position + buffer.length, this.failFrom));
      },
      close: async () => {
        if (!closed) this.openCount -= 1;
        closed = true;
      },
    };
  }
}

/** A part of bytes in memory. */
export function partOf(bytes: Buffer, onClose: () => void = () => undefined): OpenPart {
  return {
    size: bytes.length,
    ready: async () => bytes.length,
    read: async (buffer, position) => bytes.copy(buffer, 0, position),
    close: onClose,
  };
}

export interface RunningServer {
  readonly server: PieceServer;
  readonly shelf: MemoryShelf;
  readonly metrics: Metrics;
  readonly pool: BufferPool;
  readonly slots: UploadSlots;
  readonly port: number;
  readonly url: string;
  /** How the client is told of it. */
  readonly peer: PeerAddress;
}

/** A piece server on loopback over a shelf in memory; it ends with the test. */
export async function startPieceServer(t: Ends, options: Partial<PieceServerOptions> = {}): Promise<RunningServer> {
  const shelf = new MemoryShelf();
  const metrics = new Metrics();
  const pool = new BufferPool(16 * MiB);
  const slots = new UploadSlots();
  const clock = systemClock;
  const server = new PieceServer({
    shelves: [shelf],
    incoming: { openPart: async () => undefined },
    auth: plainAuth(SERVER.peer),
    identity: SERVER,
    prove: (nonce) => `proof of ${nonce}`,
    vouch: async () => undefined,
    slots,
    limiter: new Limiter({ bytesPerSecond: undefined, clock }),
    pool,
    metrics,
    clock,
    log: silentLogger,
    ...options,
  });
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  const peer = { ...SERVER, addresses: [`127.0.0.1:${port}`] };
  return { server, shelf, metrics, pool, slots, port, url: `http://127.0.0.1:${port}`, peer };
}

/** A piece client; it ends with the test. */
export function openPieceClient(
  t: Ends,
  options: { clock?: Clock; bytesPerSecond?: number } = {},
): { client: PieceClient; metrics: Metrics } {
  const clock = options.clock ?? systemClock;
  const metrics = new Metrics();
  const limiter = new Limiter({ bytesPerSecond: options.bytesPerSecond, clock });
  const client = new PieceClient({ auth: plainAuth(RECEIVER), clock, limiter, metrics });
  t.teardown(() => client.close());
  return { client, metrics };
}

/** Waits for a condition, with a bound. */
export async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !condition();) {
    if (performance.now() > end) throw new Error(`it did not come to this: ${condition.toString()}`);
    await systemClock.sleep(10);
  }
}
