import t from 'tap';
import { findingText } from '../../src/cli/doctor.ts';
import type { Finding } from '../../src/doctor/check.ts';
import { runCommand as run } from '../support/cli.ts';
import { NO_PUBLIC_REGISTRY } from '../support/doctor-rig.ts';
import { closedPort } from '../support/odd-servers.ts';

const FINDING: Finding = {
  code: 'SUPERNODE_TCP',
  status: 'failed',
  title: 'TCP to sn:6789',
  seen: 'refused\u001B[2J since 2026-01-02T03:04:05.678Z',
  meaning: 'nothing listens',
  todo: 'start it',
  error: 'SUPERNODE_UNREACHABLE',
};

t.test('one line a check, and what failed explained', (t) => {
  t.equal(
    findingText(FINDING, { colour: false }),
    [
      'FAILED   TCP to sn:6789',
      '         seen     SUPERNODE_UNREACHABLE: refused?[2J since 2026-01-02 03:04:05Z',
      '         meaning  nothing listens',
      '         to do    start it',
      '',
    ].join('\n'),
  );
  const { error, ...plain } = FINDING;
  t.equal(error, 'SUPERNODE_UNREACHABLE');
  t.equal(
    findingText({ ...plain, seen: 'no', meaning: '', todo: '' }, { colour: false }),
    'FAILED   TCP to sn:6789\n         seen     no\n',
  );
  const skipped = { ...FINDING, status: 'skipped', seen: 'no connection' } as const;
  t.equal(findingText(skipped, { colour: false }), 'skipped  TCP to sn:6789: no connection\n');
  t.match(findingText({ ...skipped, status: 'ok' }, { colour: true }), /^\u001B\[32mok {5}\u001B\[39m {2}TCP/);
  t.end();
});

/** Flags of a node on which nothing runs. */
async function nothingRuns(): Promise<string[]> {
  const ports = await Promise.all(Array.from({ length: 4 }, closedPort));
  const names = ['--proxy-listen', '--peer-listen', '--api-listen', '--supernode-listen'];
  return names.flatMap((name, i) => [name, `127.0.0.1:${ports[i]}`]);
}

t.test('for people and as JSON; exit status 1 where anything failed', async (t) => {
  const flags = [...(await nothingRuns()), '--store-dir', t.testdir({})];
  const more = { environment: { ...NO_PUBLIC_REGISTRY, PATH: process.env['PATH'] } };
  const people = await run(['doctor', ...flags], more);
  t.same([people.status, people.err], [1, '']);
  t.match(people.out, /^ok {7}configuration/);
  t.match(people.out, /\nFAILED {3}this node's proxy at/);
  const json = await run(['doctor', '--json', ...flags], more);
  t.equal(json.status, 1);
  const { checks } = JSON.parse(json.out) as { checks: Finding[] };
  for (const check of checks)
    t.match(check, {
      code: /^[A-Z_]+$/,
      status: /^(ok|failed|skipped)$/,
      title: /./,
      seen: /./,
      meaning: /^/,
      todo: /^/,
    });
  const count = (status: string) => checks.filter((check) => check.status === status).length;
  t.ok(
    people.out.endsWith(
      `\n\n${checks.length} checks: ${count('ok')} ok, ${count('failed')} failed, ${count('skipped')} skipped\n`,
    ),
  );
});

t.test('a broken configuration is a finding, wrong usage is not', async (t) => {
  const directory = t.testdir({ 'h.yaml': 'proxxy: {}' });
  const broken = await run(['doctor', '--config', 'h.yaml', '--json'], { directory });
  t.same([broken.status, broken.err], [1, '']);
  t.match(JSON.parse(broken.out), { checks: [{ code: 'CONFIG', status: 'failed', error: 'CONFIG_UNKNOWN_KEY' }] });
  t.match(await run(['doctor', '--nonsense']), { status: 2, err: /USAGE/ });
});
