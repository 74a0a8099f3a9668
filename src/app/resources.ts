import { Descriptors } from '../base/descriptors.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { readMemory, type MemoryReading } from '../base/memory.ts';
import type { Metrics } from '../base/metrics.ts';
import {
  Pressure,
  RESOURCES,
  type PressureChange,
  type PressureStatus,
  type Reading,
  type Resource,
} from '../base/pressure.ts';
import { formatSize } from '../base/units.ts';
import { DEFAULT_POOL_BYTES, type BufferPool } from '../http/buffer-pool.ts';
import { MAX_CONNECTIONS_IN_USE } from '../p2p/peer/piece-client.ts';
import type { DiskState } from '../store/disk-health.ts';

/** How often resources are read, in milliseconds: a reading takes a quarter of a millisecond. */
const READ_MS = 500;

/** Of the memory that there is at the start, what the buffers of all bodies may take, up to their usual size. */
const POOL_SHARE = 1 / 8;
/** What is left of the buffers while memory is short. */
const POOL_LEFT = { none: 1, uploads: 1 / 2, 'pass-through': 1 / 8 } as const;

const TODO = {
  descriptors:
    'raise the limit of open files: LimitNOFILE of the systemd unit, --ulimit nofile of a container, ulimit -n of a shell',
  memory:
    'give Hawker more memory (MemoryMax of the systemd unit, the limit of its container), or take other load off the machine',
  disk: 'free space on the disk of store.dir, see that it is mounted writable and has free inodes (df -i), or lower store.quota',
} as const;

export interface ResourcesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** For tests. */
  readonly memory?: () => MemoryReading | undefined;
  readonly descriptors?: Pick<ConstructorParameters<typeof Descriptors>[0], 'count' | 'limit'>;
}

/** Watches what this process may run out of, says it, and tells those parts that shed. */
export class Resources {
  readonly pressure: Pressure;
  readonly descriptors: Descriptors;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #memory: () => MemoryReading | undefined;
  readonly #idle: (() => void)[] = [];
  readonly #poolBytes: number;
  #pool: BufferPool | undefined;
  #disk: (() => Promise<DiskState>) | undefined;
  #cancel: () => void = () => undefined;
  #closed = false;

  constructor({ clock, log, metrics, memory = readMemory, descriptors = {} }: ResourcesOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#memory = memory;
    this.pressure = new Pressure(clock.now());
    this.descriptors = new Descriptors({
      clock,
      relieve: () => this.#relieve(),
      short: (wanted) => this.#takeDescriptors(wanted, 'are open or about to be'),
      ...descriptors,
    });
    const most = memory()?.limit ?? Number.POSITIVE_INFINITY;
    this.#poolBytes = Math.floor(Math.min(DEFAULT_POOL_BYTES, most * POOL_SHARE));
    metrics.showPressure(() => RESOURCES.map((resource) => [resource, this.pressure.shareOf(resource)]));
    void this.#readOn();
  }

  /** How near each is to its limit, for `/api/v1/status`. */
  status(): PressureStatus {
    return this.pressure.status();
  }

  /** Warns (DESCRIPTORS_LOW) where the limit of open files is less than `wanted`. */
  expectDescriptors(wanted: number): void {
    const { limit } = this.descriptors;
    if (limit === undefined || limit >= wanted) return;
    this.#log.warn(
      { code: 'DESCRIPTORS_LOW', limit, wanted, todo: TODO.descriptors },
      `this process may have ${limit} files open; with this configuration it takes up to ${wanted} when much is going on, and sheds load before`,
    );
  }

  /** Holds a pool within what memory there is. */
  hold(pool: BufferPool): void {
    this.#pool = pool;
    pool.resize(this.#poolBytes);
  }

  /** `closeIdle` is called when descriptors are short. */
  onShortage(closeIdle: () => void): void {
    this.#idle.push(closeIdle);
  }

  watchDisk(read: () => Promise<DiskState>): void {
    this.#disk = read;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #readOn(): Promise<void> {
    this.#readDescriptors();
    this.#readMemory();
    await this.#readDisk();
    if (!this.#closed) this.#cancel = this.#clock.after(READ_MS, () => void this.#readOn());
  }

  #readDescriptors(): void {
    this.descriptors.refresh();
    const { used } = this.descriptors;
    if (used !== undefined) this.#takeDescriptors(used, 'are open');
    if (this.pressure.levelOf('descriptors') !== 'none') this.#relieve();
  }

  #takeDescriptors(used: number, are: string): void {
    const { limit } = this.descriptors;
    if (limit === undefined) return;
    this.#take('descriptors', { used, limit, message: `${used} of ${limit} file descriptors ${are}` });
  }

  #readMemory(): void {
    const reading = this.#memory();
    if (!reading) return;
    const { used, limit, by } = reading;
    const whose = by === 'cgroup' ? 'that its cgroup has for it' : 'that this machine has for it';
    const message = `Hawker takes ${formatSize(used)} of the ${formatSize(limit)} of memory ${whose}`;
    this.#take('memory', { used, limit, message });
  }

  async #readDisk(): Promise<void> {
    const state = await this.#disk?.();
    if (!state) return;
    const { roomBytes, reserveBytes, failure } = state;
    const free = `${formatSize(roomBytes)} are free on the disk of the store or could be made so`;
    const message =
      failure === undefined
        ? `${free}; ${formatSize(reserveBytes)} are to stay free`
        : `nothing can be written to the disk of the store: ${failure}`;
    // What has to be free, of what is.
    this.#take('disk', { used: reserveBytes, limit: failure === undefined ? roomBytes : 0, message });
  }

  #take(resource: Resource, reading: Omit<Reading, 'todo'>): void {
    const whole = { ...reading, todo: TODO[resource] };
    const change = this.pressure.read(resource, whole, this.#clock.monotonic(), this.#clock.now());
    if (!change) return;
    this.#say(change);
    if (resource === 'memory') this.#pool?.resize(this.#poolBytes * POOL_LEFT[change.to]);
  }

  #say({ resource, from, to, reading: { used, limit, message, todo } }: PressureChange): void {
    const what = { resource, used, limit, level: this.pressure.level };
    const isWorse = to === 'pass-through' || (to === 'uploads' && from === 'none');
    if (isWorse) this.#log.warn({ code: 'RESOURCES_SHORT', ...what, todo }, `${message}: ${shed(to)}`);
    else this.#log.info({ code: 'RESOURCES_RECOVERED', ...what }, `${message}: ${shed(to)}`);
  }

  #relieve(): void {
    for (const closeIdle of this.#idle) closeIdle();
  }
}

function shed(level: PressureChange['to']): string {
  if (level === 'none') return 'this node sheds nothing for it any more';
  if (level === 'uploads') return 'this node gives less to other nodes';
  return 'this node gives less to other nodes, and streams new blobs through without keeping them';
}

/** Descriptors of the process itself: standard streams, the event loop's, listeners, the store's lock, its log and its modules. */
const OWN = 100;
/** Clients at the same time, each with a connection and, once its answer goes out, a blob: containerd and docker open three a pull. */
const CLIENTS = 512;
const EACH_CLIENT = 2;
/** Blobs coming in at the same time, of two dozen images with three layers each: a file, its journal, a connection to the registry. */
const DOWNLOADS = 72;
const EACH_DOWNLOAD = 3;
/** Connections of other nodes to the piece port, most of them idle, and files that they are given pieces of. */
const OTHERS = 512;
const UPLOADS = 8;

/** Descriptors that a node takes when much is going on; with fewer it sheds load, and works. The doctor asks for as many. */
export function descriptorsWanted({ peers }: { readonly peers: boolean }): number {
  const alone = OWN + CLIENTS * EACH_CLIENT + DOWNLOADS * EACH_DOWNLOAD;
  return peers ? alone + OTHERS + UPLOADS + MAX_CONNECTIONS_IN_USE : alone;
}
