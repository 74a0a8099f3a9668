import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Credentials, type Credential } from '../../src/registry/credentials.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { PATIENCE_MS } from '../support/patience.ts';
import { until } from '../support/piece-rig.ts';

/** A credential helper on the PATH that counts its calls and prints what `answer` holds. */
async function start(t: Test) {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-credentials-'));
  const before = process.env['PATH'];
  process.env['PATH'] = `${dir}:${before}`;
  t.teardown(async () => {
    process.env['PATH'] = before;
    await rm(dir, { recursive: true });
  });
  const [answer, calls] = [join(dir, 'answer'), join(dir, 'calls')];
  writeFileSync(calls, '');
  writeFileSync(join(dir, 'docker-credential-x'), `#!/bin/sh\necho x >> ${calls}\ncat ${answer}\n`, { mode: 0o700 });
  const clock = new ManualClock();
  return {
    clock,
    credentials: new Credentials('r.test', { credentialHelper: 'x' }, clock),
    give: (secret: string) => writeFileSync(answer, JSON.stringify({ Username: 'u', Secret: secret })),
    spoil: () => writeFileSync(answer, 'secret-hunter2 is no credential'),
    calls: () => readFileSync(calls, 'utf8').length / 2,
  };
}

const passwordIn = (credential: Credential | undefined) => credential?.kind === 'password' && credential.password;

t.test('however many find that a password has run out, the helper is asked once', async (t) => {
  const { credentials, give, calls } = await start(t);
  give('one');
  const all = await Promise.all(Array.from({ length: 20 }, () => credentials.read()));
  t.same([...new Set(all.map(passwordIn))], ['one']);
  t.equal(calls(), 1);
  give('two');
  const old = all[0];
  const renewed = await Promise.all(Array.from({ length: 20 }, () => credentials.read(old)));
  t.same([...new Set(renewed.map(passwordIn))], ['two']);
  t.equal(passwordIn(await credentials.read(old)), 'two', 'one whose refusal comes late');
  t.equal(calls(), 2);
});

t.test('when its time is up the helper is asked again; while it fails, the old answer is tried', async (t) => {
  const { credentials, clock, give, spoil, calls } = await start(t);
  give('one');
  const first = await credentials.read();
  clock.advance(300_000);
  spoil();
  t.equal(passwordIn(await credentials.read()), 'one', 'nobody has said that it is not good any more');
  t.equal(calls(), 2);
  await t.rejects(credentials.read(first), {
    code: 'ORIGIN_CREDENTIALS',
    message: /docker-credential-x: it printed something/,
  });
  await t.rejects(credentials.read(first), { code: 'ORIGIN_CREDENTIALS' });
  t.equal(calls(), 2, 'one that fails is not asked by each request');
  give('two');
  clock.advance(5000);
  t.equal(passwordIn(await credentials.read(first)), 'two');
  t.equal(calls(), 3);
});

t.test('a helper that hangs takes what it has started with it', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-hanging-'));
  const before = process.env['PATH'];
  process.env['PATH'] = `${dir}:${before}`;
  t.teardown(async () => {
    process.env['PATH'] = before;
    await rm(dir, { recursive: true });
  });
  const { askCredentialHelper } = await import('../../src/registry/credential-helper.ts');
  const pid = join(dir, 'pid');
  writeFileSync(join(dir, 'docker-credential-h'), `#!/bin/sh\nsleep 600 &\necho $! > ${pid}\nwait\n`, { mode: 0o700 });
  // Long enough for the script to start, however busy the machine is.
  for (let ms = 1500; !existsSync(pid) && ms < PATIENCE_MS; ms *= 4) {
    await t.rejects(askCredentialHelper('h', 'r.test', ms), { message: `it did not answer within ${ms} ms` });
  }
  const child = Number(readFileSync(pid, 'utf8'));
  const isThere = () => {
    try {
      process.kill(child, 0);
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${child}/status`, 'utf8'));
    } catch {
      return false;
    }
  };
  await until(() => !isThere());
  t.pass('it is gone');
});
