import fc from 'fast-check';
import t from 'tap';
import {
  FIRST_HOLD_MS,
  isAtLeast,
  MAX_HOLD_MS,
  Pressure,
  PRESSURE_LEVELS,
  RESOURCES,
  Strain,
  type Marks,
} from '../../src/base/pressure.ts';

const MARKS: Marks = { uploads: { enter: 0.8, leave: 0.7 }, 'pass-through': { enter: 0.9, leave: 0.8 } };
const reading = (used: number, limit = 100) => ({ used, limit, message: `${used} of ${limit}`, todo: 'nothing' });

t.test('a level is entered at once, and left one at a time after a while', async (t) => {
  const strain = new Strain(MARKS);
  t.equal(strain.read(0.79, 0), 'none');
  t.equal(strain.read(0.8, 1), 'uploads');
  t.equal(strain.read(0.95, 2), 'pass-through');
  t.equal(strain.read(0.1, 3), 'pass-through', 'not yet');
  t.equal(strain.read(0.1, 3 + FIRST_HOLD_MS), 'uploads');
  t.equal(strain.read(0.1, 4 + FIRST_HOLD_MS), 'uploads', 'the next one takes as long');
  t.equal(strain.read(0.1, 3 + 2 * FIRST_HOLD_MS), 'none');
});

t.test('between its two marks a level stays', async (t) => {
  const strain = new Strain(MARKS);
  strain.read(0.8, 0);
  for (let at = 0; at < 100 * MAX_HOLD_MS; at += MAX_HOLD_MS) t.equal(strain.read(0.75, at), 'uploads');
});

t.test('each relapse doubles the time, up to a bound', async (t) => {
  const strain = new Strain(MARKS);
  const holds: number[] = [];
  let now = 0;
  for (let round = 0; round < 8; round += 1) {
    strain.read(0.85, (now += 1));
    const since = (now += 1);
    while (strain.read(0, now) !== 'none') now += 100;
    holds.push(now - since);
  }
  t.same(holds, [5000, 10_000, 20_000, 40_000, 80_000, 80_000, 80_000, 80_000]);
  strain.read(0, (now += 10 * MAX_HOLD_MS));
  strain.read(0.85, (now += 1));
  strain.read(0, (now += 1));
  t.equal(strain.read(0, now + FIRST_HOLD_MS), 'none', 'after a calm time it begins anew');
});

const readings = fc.array(fc.record({ share: fc.double({ min: 0, max: 1.2, noNaN: true }), ms: fc.nat(20_000) }), {
  maxLength: 300,
});

t.test('whatever the readings: never below what they say, never left early, a bounded number of changes', async () => {
  fc.assert(
    fc.property(readings, (steps) => {
      const strain = new Strain(MARKS);
      let now = 0;
      let level = strain.level;
      let falls = 0;
      let rises = 0;
      let fellAt = Number.NEGATIVE_INFINITY;
      for (const { share, ms } of steps) {
        now += ms;
        const before = level;
        level = strain.read(share, now);
        if (share >= 0.9 && level !== 'pass-through') return false;
        if (share >= 0.8 && level === 'none') return false;
        if (level === before) continue;
        if (isAtLeast(level, before)) {
          rises += 1;
          continue;
        }
        // One level at a time, and each after its hold.
        if (PRESSURE_LEVELS.indexOf(before) - PRESSURE_LEVELS.indexOf(level) !== 1) return false;
        if (now - fellAt < FIRST_HOLD_MS) return false;
        falls += 1;
        fellAt = now;
      }
      return falls <= now / FIRST_HOLD_MS && rises <= falls + 2;
    }),
  );
});

t.test('whatever came before: it recovers when the readings stay low', async () => {
  fc.assert(
    fc.property(readings, (steps) => {
      const strain = new Strain(MARKS);
      let now = 0;
      for (const { share, ms } of steps) strain.read(share, (now += ms));
      for (let waited = 0; waited <= 2 * MAX_HOLD_MS + 2000; waited += 1000) strain.read(0.5, now + waited);
      return strain.level === 'none';
    }),
  );
});

t.test('of several resources the worst counts, and each is named', async (t) => {
  const pressure = new Pressure(Date.UTC(2026, 0, 1));
  t.same(pressure.status(), { level: 'none', reasons: [], since: '2026-01-01T00:00:00.000Z' });
  t.equal(pressure.read('memory', reading(10), 0, 1), undefined);
  t.match(pressure.read('memory', reading(85), 1, Date.UTC(2026, 0, 2)), { from: 'none', to: 'uploads' });
  t.equal(pressure.level, 'uploads');
  t.match(pressure.read('disk', reading(64, 0), 2, Date.UTC(2026, 0, 3)), { from: 'none', to: 'pass-through' });
  t.equal(pressure.level, 'pass-through');
  t.equal(pressure.levelOf('memory'), 'uploads');
  t.equal(pressure.levelOf('descriptors'), 'none');
  t.match(pressure.status(), {
    level: 'pass-through',
    since: '2026-01-03T00:00:00.000Z',
    reasons: [
      { what: 'memory', used: 85, limit: 100, message: '85 of 100', todo: 'nothing' },
      { what: 'disk', used: 64, limit: 0 },
    ],
  });
  t.same(
    RESOURCES.map((resource) => pressure.shareOf(resource)),
    [0, 0.85, 1],
  );
});

t.test('a disk with more room than its reserve is at no level at all', async (t) => {
  const pressure = new Pressure(0);
  t.equal(pressure.read('disk', reading(64, 65), 0, 0), undefined);
  t.match(pressure.read('disk', reading(64, 63), 0, 0), { to: 'pass-through' });
});
