/**
 * The process is killed, or the machine loses its power, at every call of the file system in turn, and once more at every call of the
 * start that follows. Whatever is left: the store opens without a word, serves no wrong byte, keeps what was whole, counts rightly,
 * leaves no litter, and goes on.
 */
import assert from 'node:assert/strict';
import { basename, dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { createLogger } from '../../src/base/log.ts';
import { Pieces } from '../../src/base/pieces.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { MiB } from '../../src/base/units.ts';
import { DiskStore } from '../../src/store/disk-store.ts';
import type { FilePort } from '../../src/store/files.ts';
import { parseJournal } from '../../src/store/journal.ts';
import { digestOfBlobName, Layout, parseIncomingName } from '../../src/store/layout.ts';
import { chargeFor } from '../../src/store/quota.ts';
import { Refs } from '../../src/store/refs.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { contentOf, fill, sampleBlob, writePieces, type SampleBlob } from '../support/store-conformance.ts';
import { CrashDisk, type Crash } from './crash-disk.ts';
import { KiB4, temporaryDirectory } from './temporary.ts';

const HOUR = 3_600_000;
const CRASHES: readonly Crash[] = ['process', 'nothing', 'names', 'holes', 1, 2];

/** `large` has pieces of which check sums are kept; the others are one piece to the network. */
const large = { ...sampleBlob(2 * MiB + 5, 'large'), pieceSize: MiB };
const [fresh, old, oldest] = ['fresh', 'old', 'oldest'].map((seed) => ({
  ...sampleBlob(3 * KiB4, seed),
  pieceSize: KiB4,
})) as [Sample, Sample, Sample];
const BLOBS: readonly Sample[] = [large, fresh, old, oldest];
const KEY = { registry: 'docker.io', repository: 'library/alpine' };
const TARGETS = [old, fresh].map(({ digest }, at) => ({ digest, mediaType: 'a/b', at, anonymous: true }));

interface Sample extends SampleBlob {
  readonly pieceSize: number;
}

interface World {
  readonly store: DiskStore;
  readonly refs: Refs;
  readonly clock: ManualClock;
  readonly codes: () => string[];
}

interface Scenario {
  readonly name: string;
  readonly quotaBytes?: number;
  readonly before?: (world: World) => Promise<void>;
  readonly act: (world: World) => Promise<void>;
  /** Blobs that `before` has stored and that nothing may take away. */
  readonly stay?: readonly Sample[];
}

const shapeOf = ({ bytes, pieceSize }: Sample) => ({ size: bytes.length, pieceSize });
const piecesOf = ({ bytes, pieceSize }: Sample) => new Pieces(bytes.length, pieceSize);

async function receive({ store }: World, blob: Sample, pieces: number[]): Promise<void> {
  const incoming = await store.receive(blob.digest, shapeOf(blob));
  await writePieces(incoming, blob.bytes, blob.pieceSize, pieces);
  await incoming.close();
}

async function finish({ store }: World, blob: Sample): Promise<void> {
  const incoming = await store.receive(blob.digest, shapeOf(blob));
  const missing = [...Array(piecesOf(blob).count).keys()].filter((piece) => !incoming.kept.has(piece));
  await writePieces(incoming, blob.bytes, blob.pieceSize, missing);
  await incoming.publish(blob.digest, blob.bytes.length);
  await incoming.close();
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a download in the middle, its pieces out of order',
    before: ({ store }) => fill(store, old),
    act: async (world) => {
      await receive(world, fresh, [2, 0]);
      await receive(world, large, [1]);
      await receive(world, fresh, [1]);
    },
    stay: [old],
  },
  {
    name: 'a blob that was begun before is completed and published',
    before: async (world) => {
      await fill(world.store, old);
      await receive(world, large, [1]);
    },
    act: (world) => finish(world, large),
    stay: [old],
  },
  {
    name: 'a blob of unknown size',
    act: async ({ store }) => {
      const incoming = await store.receive(fresh.digest, { size: undefined, pieceSize: KiB4 });
      await incoming.write(fresh.bytes, 0);
      await incoming.publish(fresh.digest, fresh.bytes.length);
      await incoming.close();
    },
  },
  {
    name: 'a blob is published over itself',
    before: (world) => finish(world, large),
    act: (world) => finish(world, large),
  },
  {
    name: 'what is idle, and then the oldest, make way',
    quotaBytes: 10 * KiB4,
    before: async (world) => {
      await finish(world, oldest);
      await world.clock.advance(HOUR);
      await finish(world, old);
      await receive(world, sampled('idle'), [0]);
    },
    act: async (world) => {
      await finish(world, fresh);
      await finish(world, sampled('another'));
    },
  },
  {
    name: 'blobs and check sums are removed, and an idle try is thrown away',
    before: async (world) => {
      for (const blob of [old, large]) await finish(world, blob);
      await receive(world, fresh, [0, 1]);
    },
    act: async ({ store }) => {
      await store.remove(large.digest);
      const incoming = await store.receive(fresh.digest, shapeOf(fresh));
      await incoming.discard();
    },
    stay: [old],
  },
  {
    name: 'refs are written',
    before: async ({ refs }) => {
      await refs.setTag(KEY, 'latest', 'any', TARGETS[0]!);
      await refs.flush();
    },
    act: async ({ refs }) => {
      await refs.setTag(KEY, 'latest', 'any', TARGETS[1]!);
      await refs.flush();
    },
  },
  {
    name: 'uses and checks are noted, and all is closed',
    before: async (world) => {
      for (const blob of [old, large]) await finish(world, blob);
    },
    act: async ({ store, clock }) => {
      await clock.advance(25 * HOUR);
      for (const blob of [old, large]) assert.ok((await contentOf(store, blob.digest))?.equals(blob.bytes));
      await store.close();
    },
    stay: [old, large],
  },
];

function sampled(seed: string): Sample {
  return { ...sampleBlob(3 * KiB4, seed), pieceSize: KiB4 };
}

class Bench {
  readonly #dir: string;
  readonly #layout: Layout;
  readonly #scenario: Scenario;
  readonly #metrics = new Metrics();
  readonly #lines: string[] = [];
  readonly #log = createLogger({
    level: 'info',
    format: 'json',
    destination: { write: (line) => void this.#lines.push(line) },
  });
  tried = 0;
  /** Calls of the file system that the scenario makes. */
  calls = 0;
  checked = 0;

  constructor(dir: string, scenario: Scenario) {
    this.#dir = dir;
    this.#layout = new Layout(dir);
    this.#scenario = scenario;
  }

  /** The disk as `before` leaves it, all of it synced. */
  async prepare(): Promise<CrashDisk> {
    const disk = new CrashDisk();
    disk.makeDirectory(this.#dir);
    await this.#within(disk.port(), async (world) => this.#scenario.before?.(world));
    return disk.after('process');
  }

  /** What is left of a disk where `work` ran on it and died before call `dieAt`, or, where it was done before, right after that. */
  async crash(
    disk: CrashDisk,
    dieAt: number,
    crash: Crash,
    work: Scenario['act'],
  ): Promise<{ disk: CrashDisk; isDone: boolean }> {
    const copy = disk.after('process');
    const port = copy.port(dieAt);
    try {
      await this.#within(port, work);
    } catch (error) {
      if (!port.isDead()) throw error;
    }
    this.tried += 1;
    if (!this.calls) this.calls = port.isDead() ? 0 : port.calls();
    return { disk: copy.after(crash), isDone: !port.isDead() };
  }

  /** All that must hold of what a crash has left. */
  async check(disk: CrashDisk, where: string): Promise<void> {
    this.checked += 1;
    const good = this.#goodPieces(disk);
    await this.#within(disk.port(), async (world) => {
      const { store } = world;
      assert.equal(store.usage().bytes, this.#bytesOn(disk), `${where}: the books`);
      assert.ok(store.usage().bytes <= store.usage().quota, `${where}: the quota`);
      this.#noLitter(disk, store, where);
      const here = new Set(Array.from(store.list(), ({ digest }) => digest));
      for (const blob of this.#scenario.stay ?? []) assert.ok(here.has(blob.digest), `${where}: a stored blob is lost`);
      for (const blob of BLOBS) {
        const content = await contentOf(store, blob.digest);
        assert.equal(content !== undefined, here.has(blob.digest), `${where}: a stored blob is not to be had`);
        assert.ok(!content || content.equals(blob.bytes), `${where}: a wrong byte`);
      }
      const tag = await world.refs.tagOf(KEY, 'latest', 'any');
      assert.ok(!tag || TARGETS.some(({ digest }) => tag.digest === digest), `${where}: a torn tag`);
      for (const blob of BLOBS) {
        if (here.has(blob.digest) || !good.has(blob)) continue;
        const incoming = await store.receive(blob.digest, shapeOf(blob));
        assert.deepEqual(new Set(incoming.kept.keys()), good.get(blob), `${where}: the pieces that are good`);
        await incoming.close();
      }
      for (const blob of [fresh, large]) {
        if (chargeFor(blob.bytes.length) > store.usage().quota) continue;
        await finish(world, blob);
        assert.ok((await contentOf(store, blob.digest))?.equals(blob.bytes), `${where}: it goes on`);
      }
      await world.refs.setTag(KEY, 'latest', 'any', TARGETS[1]!);
      await world.refs.flush();
      assert.deepEqual(world.codes(), [], `${where}: nothing to be said`);
    });
    await this.#within(disk.port(), async ({ store }) => this.#noLitter(disk, store, where));
  }

  async #within(files: FilePort, work: (world: World) => Promise<void>): Promise<void> {
    this.#lines.length = 0;
    const log = this.#log;
    const codes = () => this.#lines.map((line) => (JSON.parse(line) as { code?: string }).code ?? line);
    const clock = new ManualClock(Date.UTC(2026, 0, 2));
    const { quotaBytes = 64 * MiB } = this.#scenario;
    const options = { dir: this.#dir, log, clock, files };
    const store = await DiskStore.open({ ...options, quotaBytes, metrics: this.#metrics });
    try {
      const refs = await Refs.open(options);
      await work({ store, refs, clock, codes });
      await refs.close();
    } finally {
      await store.close();
    }
  }

  /** By blob, the pieces whose bytes and record are whole on the disk. */
  #goodPieces(disk: CrashDisk): Map<Sample, Set<number>> {
    const good = new Map<Sample, Set<number>>();
    for (const blob of BLOBS) {
      const journal = disk.read(this.#layout.incomingJournal(blob.digest));
      const data = disk.read(this.#layout.incomingData(blob.digest));
      const records = journal && data ? parseJournal(journal)?.pieces : undefined;
      if (!records || !data) continue;
      const pieces = piecesOf(blob);
      const whole = [...records].filter(([piece, crc]) => {
        const bytes = data.subarray(pieces.start(piece), pieces.end(piece));
        return bytes.length === pieces.end(piece) - pieces.start(piece) && crc32(bytes) === crc;
      });
      good.set(blob, new Set(whole.map(([piece]) => piece)));
    }
    return good;
  }

  #bytesOn(disk: CrashDisk): number {
    const counted = [this.#layout.blobs, this.#layout.incoming];
    let bytes = 0;
    for (const { path, content } of disk.list()) {
      if (path.endsWith('.journal') || !counted.some((dir) => path.startsWith(`${dir}/`))) continue;
      bytes += Math.min(chargeFor(content.size), chargeFor(content.blocks.size * KiB4));
    }
    return bytes;
  }

  #noLitter(disk: CrashDisk, store: DiskStore, where: string): void {
    const paths = Array.from(disk.list(), ({ path }) => path);
    for (const path of paths) {
      const name = basename(path);
      const folder = dirname(path);
      const isOurs =
        folder === this.#layout.refs
          ? name.endsWith('.json')
          : folder === this.#layout.incoming
            ? paths.includes(name.endsWith('.journal') ? path.slice(0, -'.journal'.length) : `${path}.journal`)
            : folder === this.#layout.crcsDir
              ? store.sizeOf(parseIncomingName(name)!.digest) !== undefined
              : path === this.#layout.verified ||
                store.sizeOf(digestOfBlobName('sha256', name.slice(0, 2), name)!) !== undefined;
      assert.ok(isOurs, `${where}: ${path} is litter`);
    }
  }
}

// Some seconds each; many times that on a machine that has other work.
t.setTimeout(600_000);

for (const scenario of SCENARIOS) {
  t.test(scenario.name, async (t: Test) => {
    const bench = new Bench(await temporaryDirectory(t), scenario);
    const start = await bench.prepare();
    const seen = new Set<string>();
    const isNew = (disk: CrashDisk): boolean => {
      const { print } = disk;
      return !seen.has(print) && seen.add(print) !== undefined;
    };
    const left: { disk: CrashDisk; where: string }[] = [];
    for (const crash of CRASHES) {
      for (let call = 0, isDone = false; !isDone; call += 1) {
        const crashed = await bench.crash(start, call, crash, scenario.act);
        const { disk } = crashed;
        ({ isDone } = crashed);
        const where = `${crash} at call ${call}`;
        if (!isNew(disk)) continue;
        left.push({ disk, where });
        await bench.check(disk.after('process'), where);
      }
    }
    const once = bench.tried;
    for (const { disk, where } of left) {
      for (const crash of ['process', 'nothing'] as const) {
        for (let call = 0, isDone = false; !isDone; call += 1) {
          const again = await bench.crash(disk, call, crash, async () => undefined);
          ({ isDone } = again);
          if (isNew(again.disk))
            await bench.check(again.disk, `${where}, and ${crash} at call ${call} of the start after that`);
        }
      }
    }
    t.comment(
      `${bench.calls} calls, ${once} crashes, ${bench.tried - once} second ones in the start after them, ${bench.checked} different disks left`,
    );
    t.ok(bench.checked > 3);
  });
}
