/**
 * Everything that may be wrong with a cluster, in network namespaces with real firewalls, DNS, signals and clocks
 * (scripts/faults): each cause is named by `hawker peers`, `hawker doctor` and the logs, a pull goes on all the while with the right
 * bytes, and the cluster is whole again by itself once the cause is gone. Invariants I2, I6 and I7.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { runCatalogue } from '../../scripts/faults/catalogue.ts';
import { CAUSES } from '../../scripts/faults/causes.ts';
import { EIGHT, runEight } from '../../scripts/faults/eight.ts';
import { EXPECTED } from '../../scripts/faults/expected.ts';
import { PROGRAMS } from '../../scripts/faults/needs.ts';
import { outcomeText } from '../../scripts/faults/report.ts';
import { World } from '../../scripts/faults/world.ts';
import { e2e, type Rig } from './support/rig.ts';

/** Causes at the same time: most of what each does is wait, but each starts processes. */
const JOBS = Math.min(8, 3 * availableParallelism());
/** Often, so that missed ones are soon noticed. */
const HEARTBEAT = '1s';
const FREEZE_MS = 5000;
/** How long a cluster may take to be whole: far more than it should, for this machine may have other things to do. */
const WHOLE_BOUND_MS = 150_000;
/** Back to the first of two supernodes is no matter of being whole: it is looked at now and then. */
const UNHURRIED = new Set(['two']);

async function world(rig: Rig, blobs: number): Promise<World> {
  const made = await World.create(join(rig.dir, 'world'), { heartbeat: HEARTBEAT, blobs });
  rig.onClose(() => made.close());
  return made;
}

e2e(t, 'every cause is named, costs no pull, and heals', PROGRAMS, async (t, rig) => {
  const causes = CAUSES.filter(({ variant }) => !variant);
  const outcomes = await runCatalogue(await world(rig, causes.length), {
    causes,
    jobs: JOBS,
    freezeMs: FREEZE_MS,
    quick: true,
  });
  for (const outcome of outcomes) {
    const { cause, wholeMs, cured, faults } = outcome;
    t.same(faults, [], `${cause.title}\n${outcomeText(outcome)}`);
    if (cured && !UNHURRIED.has(cause.name)) {
      t.ok(wholeMs !== undefined && wholeMs < WHOLE_BOUND_MS, `${cause.title}: whole after ${wholeMs} ms`);
    }
  }
});

e2e(t, 'a cluster of eight, each node with another fault', PROGRAMS, async (t, rig) => {
  const { peers, nodes } = await runEight(await world(rig, EIGHT.length), FREEZE_MS);
  t.comment(peers);
  for (const { host, cause, doctor, faults } of nodes) {
    t.same(faults, [], `${host}: ${cause.title}: the roster and the logs`);
    if (!doctor) continue;
    for (const check of EXPECTED[cause.name]!.doctor)
      t.ok(doctor.found.failed.includes(check), `${host}: ${cause.title}: doctor finds ${check}\n${doctor.text}`);
    t.equal(doctor.found.exitCode, 1, `${host}: doctor's exit code`);
  }
});
