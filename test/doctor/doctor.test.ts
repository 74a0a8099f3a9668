import t from 'tap';
import type { Clock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import { CHECK_MS } from '../../src/doctor/bounds.ts';
import type { Finding } from '../../src/doctor/check.ts';
import { CHECKS, type Entry } from '../../src/doctor/checks.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { ok } from '../../src/doctor/findings.ts';
import { ManualClock } from '../support/manual-clock.ts';

async function all(flags: Record<string, string>, entries: readonly Entry[], clock: Clock = systemClock) {
  const sources = {
    file: undefined,
    flags,
    environment: { A: 'b' },
    account: { root: false, home: '/' },
    directory: '/',
  };
  const found: Finding[] = [];
  for await (const finding of examine(sources, { clock, root: '/' }, entries)) found.push(finding);
  return found;
}

const about = (code: string) => ({ code, title: `the ${code}` });
const entry = (code: string, check: Entry['check']): Entry => ({ finds: [about(code)], check });

t.test('checks run at the same time, and are told in the order of the list', async (t) => {
  let release = (): void => undefined;
  const second = new Promise<void>((resolve) => (release = resolve));
  const found = await all({ 'peer-zone': 'z1' }, [
    entry('FIRST', async ({ config, environment, root }) => {
      await second;
      return [ok(about('FIRST'), `${config.peer.zone} ${environment['A']} ${root}`)];
    }),
    entry('SECOND', async () => {
      release();
      return [ok(about('SECOND'), 'done')];
    }),
  ]);
  t.same(
    found.map(({ code }) => code),
    ['CONFIG', 'JOIN_SECRET', 'FIRST', 'SECOND'],
  );
  t.equal(found[2]!.seen, 'z1 b /');
});

t.test('without a configuration nothing else can be looked at, and each says so', async (t) => {
  const found = await all({ 'store-quota': 'lots' }, CHECKS);
  t.match(found[0], { code: 'CONFIG', status: 'failed', error: 'CONFIG_INVALID' });
  t.ok(found.length > 10);
  for (const finding of found.slice(1)) t.match(finding, { status: 'skipped', seen: /configuration/ });
});

t.test('a check that throws, or does not end, is at fault itself', async (t) => {
  const clock = new ManualClock();
  const found = all(
    {},
    [
      entry('THROWS', async () => {
        throw new Error('oh no');
      }),
      entry('HANGS', () => new Promise(() => {})),
      entry('WELL', async () => [ok(about('WELL'), 'done')]),
    ],
    clock,
  );
  // The clock is looked at once the configuration is loaded.
  const over = found.then(() => true);
  while (!(await Promise.race([over, new Promise<false>((resolve) => setTimeout(() => resolve(false), 5))]))) {
    await clock.advance(CHECK_MS);
  }
  t.match((await found).slice(2), [
    { code: 'THROWS', status: 'failed', error: 'DOCTOR_FAULT', seen: /oh no/ },
    { code: 'HANGS', status: 'failed', error: 'DOCTOR_FAULT', seen: /did not end within 30\.0 s/ },
    { code: 'WELL', status: 'ok' },
  ]);
});
