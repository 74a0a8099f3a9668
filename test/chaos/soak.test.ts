/**
 * Everything at once, for a short while: `npm run soak` is the long form. The same seed breaks the same things.
 */
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { reportOf } from '../../scripts/soak/report.ts';
import { soak } from '../../scripts/soak/soak.ts';

const MINUTES = 1.5;
const NODES = 4;
/** The cluster's start, what is broken, the last pulls, and the calm after that. */
const BOUND_MS = 1_800_000;

t.setTimeout(BOUND_MS);

t.test(
  'a soak of 90 s: no pull fails that a source could serve, nothing grows, nothing stays behind',
  { timeout: BOUND_MS },
  async (t) => {
    const seed = process.env['HAWKER_CHAOS_SEED'] ?? String(randomInt(1_000_000));
    t.comment(`npm run soak -- --minutes ${MINUTES} --seed ${seed}`);
    const dir = await mkdtemp(join(tmpdir(), 'hawker-soak-'));
    t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
    const result = await soak({ minutes: MINUTES, seed, nodes: NODES, dir, log: (line) => t.comment(line) });
    for (const line of reportOf(result).split('\n')) t.comment(line);
    t.same(result.failures, []);
    t.ok(result.tally.times.length > 100, 'clients were served all the time');
    t.ok(result.deeds.size > 2, 'and something was broken');
  },
);
