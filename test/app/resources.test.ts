import { Writable } from 'node:stream';
import t from 'tap';
import { descriptorsWanted, Resources } from '../../src/app/resources.ts';
import { createLogger } from '../../src/base/log.ts';
import type { MemoryReading } from '../../src/base/memory.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { FIRST_HOLD_MS } from '../../src/base/pressure.ts';
import { MiB } from '../../src/base/units.ts';
import { BufferPool } from '../../src/http/buffer-pool.ts';
import { ManualClock } from '../support/manual-clock.ts';

async function scene() {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  const state = {
    memory: { used: 50 * MiB, limit: 100 * MiB, by: 'cgroup' } as MemoryReading,
    open: 10,
    limit: 100,
    disk: { roomBytes: 1000 * MiB, reserveBytes: 64 * MiB, failure: undefined as string | undefined },
    closedIdle: 0,
  };
  const clock = new ManualClock();
  const metrics = new Metrics();
  const resources = new Resources({
    clock,
    log: createLogger({ level: 'info', format: 'json', destination }),
    metrics,
    memory: () => state.memory,
    descriptors: { count: () => state.open, limit: () => state.limit },
  });
  resources.watchDisk(async () => state.disk);
  resources.onShortage(() => (state.closedIdle += 1));
  t.teardown(() => resources.close());
  await clock.advance(0);
  return { state, clock, metrics, resources, lines };
}

t.test('what runs short is said once, shown, and said again when it is over', async (t) => {
  const { state, clock, resources, lines, metrics } = await scene();
  await clock.advance(1000);
  t.equal(resources.status().level, 'none');
  state.disk = { ...state.disk, failure: 'EROFS: read-only file system' };
  await clock.advance(10_000);
  t.match(lines, [
    { code: 'RESOURCES_SHORT', resource: 'disk', level: 'pass-through', msg: /EROFS/, todo: /store\.dir/ },
  ]);
  t.match(resources.status(), { level: 'pass-through', reasons: [{ what: 'disk', message: /EROFS/ }] });
  t.match(await metrics.registry.metrics(), /hawker_pressure\{resource="disk"\} 1\n/);
  state.disk = { ...state.disk, failure: undefined };
  await clock.advance(3 * FIRST_HOLD_MS);
  t.match(lines.slice(1), [
    { code: 'RESOURCES_RECOVERED', resource: 'disk', level: 'uploads' },
    { code: 'RESOURCES_RECOVERED', resource: 'disk', level: 'none' },
  ]);
  t.match(await metrics.registry.metrics(), /hawker_pressure\{resource="disk"\} 0\.064\n/);
});

t.test('a disk with too little room for anything is short', async (t) => {
  const { state, clock, resources } = await scene();
  state.disk = { ...state.disk, roomBytes: 10 * MiB };
  await clock.advance(1000);
  t.match(resources.status().reasons, [
    { what: 'disk', message: '10 MiB are free on the disk of the store or could be made so; 64 MiB are to stay free' },
  ]);
});

t.test('while descriptors are short idle connections are closed, at a refusal at once', async (t) => {
  const { state, clock, resources, lines } = await scene();
  await clock.advance(1000);
  t.equal(state.closedIdle, 0);
  state.open = 97;
  t.notOk(resources.descriptors.admitsConnection());
  t.equal(state.closedIdle, 1);
  t.match(lines, [{ code: 'RESOURCES_SHORT', resource: 'descriptors', used: 101, limit: 100, todo: /LimitNOFILE/ }]);
  await clock.advance(2000);
  t.ok(state.closedIdle > 3);
});

t.test('the buffers of all bodies are held to a share of memory, and shrink while it is short', async (t) => {
  const { state, clock, resources } = await scene();
  const pool = new BufferPool();
  resources.hold(pool);
  t.equal(pool.available, 12, 'an eighth of 100 MiB');
  state.memory = { ...state.memory, used: 95 * MiB };
  await clock.advance(1000);
  t.equal(pool.available, 1);
  state.memory = { ...state.memory, used: 50 * MiB };
  await clock.advance(3 * FIRST_HOLD_MS);
  t.equal(pool.available, 12);
});

t.test('a limit of open files that is too low is said at the start', async (t) => {
  const { resources, lines } = await scene();
  resources.expectDescriptors(100);
  t.same(lines, []);
  resources.expectDescriptors(descriptorsWanted({ peers: true }));
  t.match(lines, [{ code: 'DESCRIPTORS_LOW', limit: 100, wanted: 2116 }]);
});
