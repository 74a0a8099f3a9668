/**
 * The node itself breaks: killed at the worst moments, its disk full, read-only or rotten, its limits low, its clock set. Invariants
 * I1, I2 and I5: what was whole is kept, no wrong byte is given away, and as long as the registry is there every pull is whole.
 */
import { open, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Hawker } from '../e2e/support/hawker.ts';
import { must, run } from '../e2e/support/programs.ts';
import { until } from '../e2e/support/wait.ts';
import type { TestBlob } from '../support/hostile-registry.ts';
import { clockThatGoesBack, killedAt } from './own-node-hooks.ts';
import { catalogue } from './support/catalogue.ts';
import { pull, REPOSITORY, type Pull } from './support/pull.ts';
import type { Row } from './support/row.ts';
import type { Origin, Scene } from './support/scene.ts';

const MiB = 1024 * 1024;
const KiB = 1024;
const STEP_BOUND_MS = 30_000;
const DRAIN_BOUND_MS = 45_000;
const DAY_MS = 24 * 3_600_000;

const ORIGIN_BYTES = { name: 'hawker_origin_bytes_total', labels: { upstream: 'docker.io' } } as const;
const NOBODY = { who: 'nobody' } as const;

/** Bytes of a blob that are here in order; 0: it is not coming in. */
async function inOrder(node: Hawker, { digest }: TestBlob): Promise<number> {
  const response = await fetch(`http://${node.api}/api/v1/status`);
  const { downloads } = (await response.json()) as { downloads: { digest: string; inOrder: number }[] };
  return downloads.find((one) => one.digest === digest)?.inOrder ?? 0;
}

const hexOf = ({ digest }: TestBlob) => digest.slice('sha256:'.length);

function fileOf({ storeDir }: Hawker, blob: TestBlob): string {
  const hex = hexOf(blob);
  return join(storeDir, 'v1/blobs/sha256', hex.slice(0, 2), hex);
}

/** Holds what the registry sends of each blob at this byte, until the function that it returns is called. */
function gated({ registry }: Origin, bytes: number): () => void {
  let open = () => {};
  const until = new Promise<void>((resolve) => (open = resolve));
  registry.faults.gate = { bytes, until };
  return open;
}

/** Waits until a blob is in the store. */
async function stored(node: Hawker, blob: TestBlob): Promise<void> {
  const isThere = () =>
    stat(fileOf(node, blob)).then(
      () => true,
      () => false,
    );
  await until('the blob is stored', STEP_BOUND_MS, isThere);
}

/** A node that has the image's manifest, and nothing else of it. */
async function nodeFor(scene: Scene, origin: Origin, role: Parameters<Scene['node']>[1] = {}): Promise<Hawker> {
  const node = await scene.node(origin.registry.url, role);
  await scene.resolve(node, origin);
  return node;
}

/** A node that has pulled an image's layer and stored it. */
async function storing(scene: Scene): Promise<{ origin: Origin; node: Hawker }> {
  const origin = await scene.origin();
  const node = await nodeFor(scene, origin);
  await pull(node, origin.layer);
  await stored(node, origin.layer);
  return { origin, node };
}

/** What lies among the incoming blobs. */
async function litter(node: Hawker): Promise<string[]> {
  const names = await readdir(join(node.storeDir, 'v1/incoming'));
  return names.map((name) => `v1/incoming/${name} is left`);
}

/** The folder that the first node's store will have, as a file system of its own. */
async function diskOf(scene: Scene, size: string): Promise<string> {
  const dir = await scene.rig.folder('node-1-store');
  await must('mount', ['-t', 'tmpfs', '-o', `mode=0700,size=${size}`, 'tmpfs', dir]);
  return dir;
}

/** A client that asks again where its connection was broken. */
async function pullAgain(node: Hawker, blob: TestBlob): Promise<Pull> {
  let got = await pull(node, blob);
  for (let tries = 0; tries < 40 && (got.status !== 200 || got.end !== 'whole'); tries += 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, 250);
    });
    got = await pull(node, blob);
  }
  return got;
}

const TAKEN_UP = {
  taken: 'taking up the pieces that an earlier process has left',
  edits: [{ file: 'store/open-incoming.js', find: 'if (actual === crc)', replace: 'if (false)' }],
};

const ROWS: Row[] = [
  {
    id: 'own-node/killed-in-a-download',
    fault: 'kill -9 in the middle of a download, then a start',
    seen: { kind: 'whole', source: /origin|mixed|store/ },
    codes: [],
    moved: [{ ...ORIGIN_BYTES, by: { atLeast: 3 * MiB, atMost: 5 * MiB + 128 * KiB } }],
    blamed: NOBODY,
    without: TAKEN_UP,
    async run(scene) {
      const origin = await scene.origin({ layers: [8 * MiB + 17] });
      const node = await nodeFor(scene, origin);
      origin.registry.faults.gate = { bytes: 5 * MiB, until: new Promise(() => undefined) };
      const cut = pull(node, origin.layer);
      await until('four pieces are here', STEP_BOUND_MS, async () => (await inOrder(node, origin.layer)) >= 4 * MiB);
      await node.kill9();
      await cut;
      origin.registry.faults.gate = undefined;
      await node.start();
      return { node, pulls: [await pull(node, origin.layer)] };
    },
  },
  {
    id: 'own-node/killed-in-a-publish',
    fault: 'kill -9 when a blob is whole and about to get its name in the store, then a start',
    seen: { kind: 'whole', source: /origin|mixed|store/ },
    codes: [],
    moved: [{ ...ORIGIN_BYTES, by: { atLeast: 0, atMost: 128 * KiB } }],
    blamed: NOBODY,
    without: TAKEN_UP,
    async run(scene) {
      const origin = await scene.origin();
      const kill = { op: 'rename', path: hexOf(origin.layer), when: 'before' } as const;
      const node = await nodeFor(scene, origin, { env: await killedAt(scene, { kill }) });
      const cut = pull(node, origin.layer);
      await node.ended(STEP_BOUND_MS);
      await cut;
      await node.start();
      const pulls = [await pull(node, origin.layer)];
      await stored(node, origin.layer);
      return { node, pulls: [...pulls, await pull(node, origin.layer)] };
    },
  },
  {
    id: 'own-node/killed-behind-a-publish',
    fault: 'kill -9 when a blob has just got its name in the store, then a start',
    seen: { kind: 'whole', source: 'store' },
    codes: [],
    moved: [{ ...ORIGIN_BYTES, by: 0 }],
    blamed: NOBODY,
    without: {
      taken: 'the sweep of what is of no use, at the start',
      edits: [{ file: 'store/disk-store.js', find: 'for (const path of useless)', replace: 'for (const path of [])' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const kill = { op: 'rename', path: hexOf(origin.layer), when: 'after' } as const;
      const node = await nodeFor(scene, origin, { env: await killedAt(scene, { kill }) });
      const cut = pull(node, origin.layer);
      await node.ended(STEP_BOUND_MS);
      await cut;
      await node.start();
      return { node, pulls: [await pull(node, origin.layer)], faults: await litter(node) };
    },
  },
  {
    id: 'own-node/killed-in-an-eviction',
    fault: 'kill -9 when a blob is stored whose room an older one has not left yet, then a start',
    seen: { kind: 'whole', source: 'store' },
    codes: [],
    moved: [{ name: 'hawker_store_bytes', by: { atLeast: 5 * MiB, atMost: 8 * MiB } }],
    blamed: NOBODY,
    without: {
      taken: 'evicting at the start what is over the quota',
      edits: [{ file: 'store/quota.js', find: 'const missing = this.#missing(0);', replace: 'const missing = 0;' }],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [5 * MiB, 5 * MiB + 17] });
      const [old, fresh] = origin.image.layers as [TestBlob, TestBlob];
      const env = await killedAt(scene, {
        hang: { op: 'unlink', path: `/blobs/sha256/${hexOf(old).slice(0, 2)}/${hexOf(old)}` },
        kill: { op: 'rename', path: hexOf(fresh), when: 'after' },
      });
      const node = await nodeFor(scene, origin, { env, config: { store: { quota: '8MiB' } } });
      await pull(node, old);
      await stored(node, old);
      const cut = pull(node, fresh);
      await node.ended(STEP_BOUND_MS);
      await cut;
      await node.start();
      return { node, pulls: [await pull(node, fresh)] };
    },
  },
  {
    id: 'own-node/disk-fills',
    fault: 'others fill the disk of the store in the middle of a download',
    seen: { kind: 'whole', source: 'origin' },
    codes: ['STORE_NO_ROOM'],
    mayLog: ['RESOURCES_SHORT', 'REFS_WRITE_FAILED'],
    moved: [{ name: 'hawker_pressure', labels: { resource: 'disk' }, by: { atLeast: 1 } }],
    blamed: { who: 'the disk', code: 'STORE_NO_ROOM', field: 'digest' },
    without: {
      taken: 'streaming through what the store cannot take',
      edits: [{ file: 'p2p/peer/download.js', find: 'this.readers.streamThrough();', replace: '' }],
    },
    async run(scene) {
      const dir = await diskOf(scene, '96m');
      const origin = await scene.origin({ layers: [12 * MiB + 17] });
      const node = await nodeFor(scene, origin);
      const open = gated(origin, 2 * MiB);
      const pulling = pull(node, origin.layer);
      await until('it has begun', STEP_BOUND_MS, async () => (await inOrder(node, origin.layer)) >= MiB);
      await run('dd', ['if=/dev/zero', `of=${join(dir, 'other')}`, 'bs=1M', 'count=95', 'status=none']);
      open();
      return { node, pulls: [await pulling], blamed: origin.layer.digest };
    },
  },
  {
    id: 'own-node/disk-read-only',
    fault: 'the disk of the store becomes read-only',
    seen: { kind: 'whole', source: /origin|store/ },
    codes: ['STORE_WRITE_FAILED', 'RESOURCES_SHORT'],
    mayLog: ['REFS_WRITE_FAILED', 'STORE_REMOVE_FAILED'],
    moved: [{ name: 'hawker_pressure', labels: { resource: 'disk' }, by: { atLeast: 1 } }],
    blamed: { who: 'the disk', code: 'RESOURCES_SHORT', field: 'resource', name: 'disk' },
    without: {
      taken: 'noting that the disk takes no writes',
      edits: [{ file: 'store/disk-health.js', find: 'if (!isOfTheDisk(error))', replace: 'if (true)' }],
    },
    async run(scene) {
      const dir = await diskOf(scene, '256m');
      const origin = await scene.origin({ layers: [2 * MiB, 3 * MiB] });
      const [kept, fresh] = origin.image.layers as [TestBlob, TestBlob];
      const node = await nodeFor(scene, origin);
      await pull(node, kept);
      await stored(node, kept);
      const remount = async () => (await run('mount', ['-o', 'remount,ro', dir])).code === 0;
      await until('nothing is being written', STEP_BOUND_MS, remount);
      return { node, pulls: [await pull(node, kept), await pull(node, fresh)] };
    },
  },
  {
    id: 'own-node/stored-bytes-changed',
    fault: 'bytes of a stored file are changed, its size and time of writing set to what they were',
    seen: { kind: 'whole', source: /store|mixed|origin/ },
    codes: ['STORE_BLOB_ROTTEN', 'STORE_READ_FAILED'],
    moved: [{ name: 'hawker_store_dropped_blobs_total', labels: { reason: 'rotten' }, by: 1 }],
    blamed: { who: 'the disk', code: 'STORE_BLOB_ROTTEN', field: 'digest' },
    without: {
      taken: 'doubt of a file that something has touched',
      edits: [{ file: 'store/verified.js', find: 'entry.verifiedAt = 0;', replace: '' }],
    },
    async run(scene) {
      const { origin, node } = await storing(scene);
      const before = await pull(node, origin.layer);
      const path = fileOf(node, origin.layer);
      const twin = join(scene.rig.dir, 'twin');
      await must('cp', ['--preserve=timestamps', path, twin]);
      const file = await open(path, 'r+');
      // Behind what has gone out by then: the answer goes on from the registry, in its middle.
      await file.write(Buffer.from('other bytes'), 0, undefined, scene.between(2 * MiB, 3 * MiB));
      await file.close();
      await must('touch', ['-r', twin, path]);
      const pulls = [before, await pull(node, origin.layer)];
      await stored(node, origin.layer);
      return { node, pulls: [...pulls, await pull(node, origin.layer)], blamed: origin.layer.digest };
    },
  },
  {
    id: 'own-node/stored-file-cut',
    fault: 'a stored file is cut short',
    seen: { kind: 'whole', source: /store|origin/ },
    codes: ['STORE_BLOB_DAMAGED'],
    moved: [{ name: 'hawker_store_dropped_blobs_total', labels: { reason: 'damaged' }, by: 1 }],
    blamed: { who: 'the disk', code: 'STORE_BLOB_DAMAGED', field: 'digest' },
    without: {
      taken: 'the look at a file before it is given away',
      edits: [{ file: 'store/blob-files.js', find: 'if (damage === undefined)', replace: 'if (true)' }],
    },
    async run(scene) {
      const { origin, node } = await storing(scene);
      await truncate(fileOf(node, origin.layer), scene.between(0, 3 * MiB));
      const pulls = [await pull(node, origin.layer)];
      await stored(node, origin.layer);
      return { node, pulls: [...pulls, await pull(node, origin.layer)], blamed: origin.layer.digest };
    },
  },
  {
    id: 'own-node/quota-too-small',
    fault: 'a blob is larger than the quota of the store',
    seen: { kind: 'whole', source: 'origin' },
    codes: ['STORE_NO_ROOM'],
    moved: [{ name: 'hawker_store_bytes', by: { atLeast: 0, atMost: MiB } }],
    blamed: { who: 'the quota', code: 'STORE_NO_ROOM', field: 'digest' },
    without: {
      taken: 'the refusal of what the quota cannot hold',
      edits: [{ file: 'store/quota.js', find: 'if (missing > this.evictableBytes)', replace: 'if (false)' }],
    },
    async run(scene) {
      const origin = await scene.origin();
      const node = await nodeFor(scene, origin, { config: { store: { quota: '1MiB' } } });
      const pulls = await Promise.all([pull(node, origin.layer), pull(node, origin.layer)]);
      return { node, pulls: [...pulls, await pull(node, origin.layer)], blamed: origin.layer.digest };
    },
  },
  {
    id: 'own-node/no-descriptors',
    fault: '40 file descriptors, 30 clients at once that ask again where they find a connection closed',
    seen: { kind: 'whole', source: /origin|store/ },
    codes: ['DESCRIPTORS_LOW', 'RESOURCES_SHORT'],
    mayLog: ['STORE_NO_ROOM', 'STORE_WRITE_FAILED', 'ORIGIN_UNREACHABLE'],
    moved: [{ name: 'hawker_pressure', labels: { resource: 'descriptors' }, by: { atLeast: 0, atMost: 1 } }],
    blamed: { who: 'the limit of open files', code: 'RESOURCES_SHORT', field: 'resource', name: 'descriptors' },
    without: {
      taken: 'the watch on file descriptors',
      edits: [
        { file: 'app/resources.js', find: "this.#take('descriptors', { used, limit,", replace: 'void ({ used, limit,' },
      ],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: Array.from({ length: 30 }, () => MiB + 17) });
      // Without what the test runner would have every node process load.
      const by = ['prlimit', '--nofile=40:40', 'env', '--unset=NODE_OPTIONS'];
      const node = await nodeFor(scene, origin, { by });
      return { node, pulls: await Promise.all(origin.image.layers.map((layer) => pullAgain(node, layer))) };
    },
  },
  {
    id: 'own-node/terminated-while-it-serves',
    fault: 'SIGTERM during 20 pulls',
    seen: { kind: 'whole', source: 'origin' },
    codes: [],
    moved: [{ name: 'hawker_store_bytes', by: { atLeast: 20 * MiB } }],
    blamed: NOBODY,
    without: {
      taken: 'draining',
      edits: [{ file: 'app/proxy.js', find: 'const DRAIN_MS = 30_000;', replace: 'const DRAIN_MS = 0;' }],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: Array.from({ length: 20 }, () => MiB + 17) });
      const { layers } = origin.image;
      const node = await nodeFor(scene, origin);
      origin.registry.faults.bytesPerSecond = 512 * KiB;
      const open = gated(origin, 256 * KiB);
      const pulling = layers.map((layer) => pull(node, layer));
      const isEach = async () =>
        (await Promise.all(layers.map((layer) => inOrder(node, layer)))).every((bytes) => bytes > 0);
      await until('each pull has begun', STEP_BOUND_MS, isEach);
      node.terminate();
      await until('it has heard', STEP_BOUND_MS, () => node.logged('STOPPING').length > 0);
      open();
      const code = await node.ended(DRAIN_BOUND_MS);
      const pulls = await Promise.all(pulling);
      await node.start();
      return { node, pulls, faults: code === 0 ? [] : [`it ended with ${code}`] };
    },
  },
  {
    id: 'own-node/clock-set-back',
    fault: 'the clock is set back by two days while the registry has gone silent',
    seen: { kind: 'whole', source: /origin|store/ },
    codes: ['ORIGIN_STALLED'],
    moved: [{ name: 'hawker_store_dropped_blobs_total', by: 0 }],
    blamed: { who: 'the upstream', code: 'ORIGIN_STALLED', field: 'origin', name: `docker.io/${REPOSITORY}` },
    without: {
      taken: 'a clock of its own for durations',
      edits: [{ file: 'base/clock.js', find: 'performance.now()', replace: 'Date.now()' }],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [2 * MiB, 3 * MiB + 17] });
      const [kept, fresh] = origin.image.layers as [TestBlob, TestBlob];
      const env = await clockThatGoesBack(scene, 2 * DAY_MS);
      const node = await nodeFor(scene, origin, { env });
      await pull(node, kept);
      await stored(node, kept);
      origin.registry.faults.stall = { bytes: 2 * MiB, times: 1 };
      const pulling = pull(node, fresh);
      await until('it has begun', STEP_BOUND_MS, async () => (await inOrder(node, fresh)) > 0);
      process.kill(node.pid, 'SIGUSR2');
      return { node, pulls: [await pull(node, kept), await pulling, await pull(node, kept)] };
    },
  },
];

catalogue(t, ROWS);
