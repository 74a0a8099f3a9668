import { execFile } from 'node:child_process';
import { linkSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { AuditFile, MAX_WAITING_BYTES } from '../../src/app/audit-file.ts';
import { ProcessAudit } from '../../src/app/audit.ts';
import { Lifecycle } from '../../src/app/lifecycle.ts';
import { Reloads } from '../../src/app/reloads.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { AuditEvent } from '../../src/base/audit.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { Config } from '../../src/config/config.ts';
import { eventually } from '../support/cluster.ts';

const run = promisify(execFile);
const MAY_MOUNT = process.platform === 'linux' && process.getuid?.() === 0;

const configOf = (file: string | undefined) => ({ audit: { file } }) as Config;
const allowed: AuditEvent = {
  role: 'mirror',
  client: '10.0.0.7',
  decision: 'allowed',
  repository: 'org/secret',
  bytes: 1,
};
const linesIn = (file: string) => readFileSync(file, 'utf8').split('\n').slice(0, -1);

function isJson(line: string): boolean {
  try {
    return typeof JSON.parse(line) === 'object';
  } catch {
    return false;
  }
}

async function start(t: Test, file: string | undefined) {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const lifecycle = new Lifecycle({ log, clock: systemClock });
  const reloads = new Reloads();
  const audit = await ProcessAudit.start(configOf(file), { log, clock: systemClock, lifecycle, reloads });
  const metrics = new Metrics();
  audit.countOn(metrics);
  t.teardown(() => lifecycle.stop());
  return { audit, lines, lifecycle, reloads, metrics };
}

t.test('lines are added to a file that nobody else reads', async (t) => {
  const file = join(t.testdir({ 'audit.log': 'before\n' }), 'audit.log');
  const { audit, lifecycle } = await start(t, file);
  t.equal(statSync(file).mode & 0o777, 0o600, 'even where it was there');
  for (let n = 0; n < 500; n += 1) audit.record({ ...allowed, bytes: n });
  await lifecycle.stop();
  const [before, ...rest] = linesIn(file);
  t.equal(before, 'before');
  t.same(
    rest.map((line) => (JSON.parse(line) as { bytes: number }).bytes),
    Array.from({ length: 500 }, (_, n) => n),
  );
});

t.test('SIGHUP: a file that logrotate has moved, another one, none, and one again', async (t) => {
  const dir = t.testdir({});
  const [file, old, other] = ['audit.log', 'audit.log.1', 'other.log'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  const { audit, reloads, lifecycle } = await start(t, file);
  audit.record(allowed);
  renameSync(file, old);
  audit.record(allowed);
  t.same(await reloads.run(configOf(file)), { keys: ['audit.file'], errors: [] });
  audit.record(allowed);
  await reloads.run(configOf(other));
  audit.record(allowed);
  await reloads.run(configOf(undefined));
  audit.record(allowed);
  await reloads.run(configOf(other));
  audit.record(allowed);
  const { errors } = await reloads.run(configOf(join(dir, 'nowhere', 'x')));
  t.match(errors, [{ code: 'AUDIT_UNUSABLE' }]);
  audit.record(allowed);
  await lifecycle.stop();
  t.same(
    [old, file, other].map((path) => linesIn(path).length),
    [2, 1, 3],
  );
  audit.record(allowed);
  t.equal(linesIn(other).length, 3, 'stopped');
});

t.test('what is no ordinary file of ours is refused', async (t) => {
  const dir = t.testdir({ real: 'x', twice: 'x', folder: {} });
  symlinkSync(join(dir, 'real'), join(dir, 'link'));
  symlinkSync(join(dir, 'nothing'), join(dir, 'dangling'));
  linkSync(join(dir, 'twice'), join(dir, 'second'));
  for (const name of ['link', 'dangling', 'folder', 'second', 'nowhere/x'])
    await t.rejects(start(t, join(dir, name)), { code: 'AUDIT_UNUSABLE' }, name);
  await t.rejects(start(t, '/dev/null'), { code: 'AUDIT_UNUSABLE', message: /no ordinary file/ });
  t.equal(readFileSync(join(dir, 'real'), 'utf8'), 'x');
});

t.test(
  'a full disk: said once, counted, and nobody waits for it',
  { skip: !MAY_MOUNT && 'needs root on Linux' },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'hawker-audit-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', dir]);
    t.teardown(async () => {
      await run('umount', [dir]);
      rmSync(dir, { recursive: true });
    });
    const file = join(dir, 'audit.log');
    const { audit, lines, lifecycle, metrics } = await start(t, file);
    const lost = async () => (await metrics.auditLost.get()).values[0]!.value;
    const record = (count: number) => {
      for (let n = 0; n < count; n += 1) audit.record(allowed);
    };
    const filler = join(dir, 'filler');
    writeFileSync(filler, Buffer.alloc(40 * 1024));
    for (let round = 0; round < 3; round += 1) {
      const before = await lost();
      record(200);
      await eventually('some are lost', async () => (await lost()) > before);
    }
    rmSync(filler);
    record(1);
    await eventually('one is written', async () => lines.some((line) => line.includes('AUDIT_WRITTEN')));
    await lifecycle.stop();
    t.equal(lines.filter((line) => line.includes('AUDIT_LOST')).length, 1);
    t.match(lines.join(''), /"code":"AUDIT_LOST","file":"[^"]+","cause":"ENOSPC","todo":/);
    const whole = linesIn(file).filter((line) => isJson(line)).length;
    t.equal(whole + (await lost()), 601, 'each is in the file or counted');
    t.ok(isJson(linesIn(file).at(-1)!), 'what was torn off does not tear the next one');
  },
);

t.test('I5: a disk that takes nothing does not fill the memory', async (t) => {
  let lost = 0;
  const file = await AuditFile.open(join(t.testdir({}), 'audit.log'), {
    onLost: (count) => void (lost += count),
    onWritten: () => undefined,
  });
  const line = `${'x'.repeat(1023)}\n`;
  // All in one turn of the event loop: nothing can be written meanwhile.
  for (let n = 0; n < 2000; n += 1) file.write(line);
  await file.close();
  t.equal(lost, 2000 - MAX_WAITING_BYTES / 1024);
});
