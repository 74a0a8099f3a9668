/**
 * What is left in the memory of a process when the life of a secret is over: minutes, which a clock that jumps makes short. Services
 * of the built program are started, and used in every way that opens a registry; then their heaps are searched.
 */
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clockOffset } from '../../scripts/faults/clock.ts';
import { IN_CONFIGURATION, whatWorks } from '../security/support/flows.ts';
import type { Found } from '../security/support/markers.ts';
import { Scene } from '../security/support/scene.ts';
import { missing } from './support/rig.ts';
import { until } from './support/wait.ts';

/** Longer than any secret is kept: tokens say 5 minutes of themselves, and all else has limits of 5 minutes. */
const LATER = '+12m';
const FORGOTTEN_BOUND_MS = 90_000;
const reason = missing(['faketime']);
const skip = reason !== undefined && process.env['HAWKER_E2E_REQUIRE'] !== '1' ? { skip: reason } : {};

t.setTimeout(600_000);
t.test('what was kept for minutes is gone after them', { ...skip, timeout: 0 }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-clock-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const clock = join(dir, 'clock');
  writeFileSync(clock, '+0');
  const { LD_PRELOAD, NO_FAKE_STAT } = clockOffset('+0');
  const env = { LD_PRELOAD, NO_FAKE_STAT, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_CACHE_DURATION: '1' };
  const scene = await Scene.start(t, { env });
  await whatWorks(t, scene);
  scene.overhear();
  const { markers, nodes, supernode } = scene;
  const lasting = markers.without(...IN_CONFIGURATION);
  t.ok(lasting.findIn(await nodes[0]!.program.heap()).length > 0, 'some of it is there while it is used');
  writeFileSync(clock, LATER);
  const programs = { supernode, ...Object.fromEntries(nodes.map(({ program }, index) => [`node ${index}`, program])) };
  for (const [name, program] of Object.entries(programs)) {
    let found: Found[] = [];
    await until('all is forgotten', FORGOTTEN_BOUND_MS, async () => {
      found = lasting.findIn(await program.heap());
      return found.length === 0;
    }).catch(() => undefined);
    t.same(found, [], name);
  }
});
