import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockHolder, StoreLock } from '../../src/store/lock.ts';
import { temporaryDirectory } from './temporary.ts';

const LOCK = new URL('../../src/store/lock.js', import.meta.url).href;
const ERRORS = new URL('../../src/base/errors.js', import.meta.url).href;

/** A process that tries for the lock at a word, says what it got, and keeps it until it is killed. */
const CONTENDER = `
  const { StoreLock } = await import(${JSON.stringify(LOCK)});
  const { codeOf } = await import(${JSON.stringify(ERRORS)});
  process.stdout.write('ready\\n');
  process.stdin.once('data', async () => {
    const got = await StoreLock.acquire(process.argv[1]).then(() => 'acquired', codeOf);
    process.stdout.write(got + '\\n');
  });
  setInterval(() => undefined, 1000);
`;

interface Contender {
  readonly process: ChildProcess;
  go(): void;
  answer(): Promise<string>;
}

async function contender(t: Test, dir: string): Promise<Contender> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CONTENDER, dir], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const line = async (): Promise<string> => String((await once(child.stdout, 'data'))[0]).trim();
  t.equal(await line(), 'ready');
  let answer = Promise.resolve('');
  return {
    process: child,
    go: () => {
      answer = line();
      child.stdin.write('go\n');
    },
    answer: () => answer,
  };
}

t.test('a lock is held, refused with the holder’s pid, and released', async (t) => {
  const dir = await temporaryDirectory(t);
  const lock = await StoreLock.acquire(dir);
  await t.rejects(StoreLock.acquire(dir), { code: 'STORE_LOCKED', params: { dir, pid: process.pid } });
  await lock.release();
  const next = await StoreLock.acquire(dir);
  t.same(await readdir(dir), ['lock-2.sock'], 'the older one is tidied away');
  await next.release();
});

t.test('a holder that is about to end says so', async (t) => {
  const dir = await temporaryDirectory(t);
  const lock = await StoreLock.acquire(dir);
  lock.stopping();
  await t.rejects(StoreLock.acquire(dir), { code: 'STORE_LOCKED', params: { pid: process.pid, isStopping: true } });
  t.match(await lockHolder(dir), { state: 'held', pid: process.pid });
  await lock.release();
});

t.test('the lock of a killed process is taken over, that of a stopped one is not', async (t) => {
  const dir = await temporaryDirectory(t);
  const holder = await contender(t, dir);
  holder.go();
  t.equal(await holder.answer(), 'acquired');
  const refused = { code: 'STORE_LOCKED', params: { pid: holder.process.pid } };
  await t.rejects(StoreLock.acquire(dir), refused);
  holder.process.kill('SIGSTOP');
  await t.rejects(StoreLock.acquire(dir), { code: 'STORE_LOCKED', params: { pid: undefined } }, 'it does not answer');
  holder.process.kill('SIGKILL');
  await once(holder.process, 'exit');
  const lock = await StoreLock.acquire(dir);
  await lock.release();
});

t.test('of many that start at once on a stale lock exactly one gets it', async (t) => {
  const contenders = 6;
  for (const stale of [
    [],
    ['lock-7.sock'],
    ['lock-3.sock', 'lock-12.sock', 'lock-00000000-0000-0000-0000-000000000000.new'],
  ]) {
    const dir = await temporaryDirectory(t);
    for (const name of stale) await writeFile(join(dir, name), '');
    const all = await Promise.all(Array.from({ length: contenders }, () => contender(t, dir)));
    for (const one of all) one.go();
    const answers = await Promise.all(all.map((one) => one.answer()));
    t.equal(answers.filter((answer) => answer === 'acquired').length, 1, answers.join());
    t.equal(answers.filter((answer) => answer === 'STORE_LOCKED').length, contenders - 1);
    for (const one of all) one.process.kill('SIGKILL');
  }
});

t.test('of many in one process exactly one gets it', async (t) => {
  const dir = await temporaryDirectory(t);
  for (let round = 0; round < 5; round += 1) {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => StoreLock.acquire(dir)));
    const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    t.equal(locks.length, 1);
    for (const result of results) if (result.status === 'rejected') t.match(result.reason, { code: 'STORE_LOCKED' });
    await locks[0]?.release();
  }
});

t.test('a directory whose path is too long for a socket', async (t) => {
  const dir = join(await temporaryDirectory(t), 'long'.repeat(40));
  await mkdir(dir);
  const lock = await StoreLock.acquire(dir);
  await t.rejects(StoreLock.acquire(dir), { code: 'STORE_LOCKED', params: { pid: process.pid } });
  await lock.release();
  await (await StoreLock.acquire(dir)).release();
});

t.test('a connection that nobody ends does not hold up the release', async (t) => {
  const dir = await temporaryDirectory(t);
  const lock = await StoreLock.acquire(dir);
  const socket = connect({ path: join(dir, 'lock-1.sock'), allowHalfOpen: true });
  socket.on('error', () => undefined);
  await once(socket, 'data');
  await lock.release();
  socket.destroy();
});

t.test('where a lock cannot be made, the error says so', async (t) => {
  await t.rejects(StoreLock.acquire('/proc/self'), { code: 'STORE_DIR_UNUSABLE', message: /lock/ });
});

t.test('who holds it can be asked without taking it', async (t) => {
  const dir = await temporaryDirectory(t);
  t.same(await lockHolder(dir), { state: 'free' });
  const lock = await StoreLock.acquire(dir);
  t.same(await lockHolder(dir), { state: 'held', pid: process.pid });
  await lock.release();
  t.same(await lockHolder(dir), { state: 'stale' }, 'its socket stays, for the next holder to remove');
  t.same(await readdir(dir), ['lock-1.sock']);
  await t.rejects(lockHolder(join(dir, 'not-there')), { code: 'ENOENT' });
});

t.test('a symlink to the socket of another store holds nothing', async (t) => {
  const base = await temporaryDirectory(t);
  const [ours, other] = [join(base, 'ours'), join(base, 'other')];
  await mkdir(ours);
  await mkdir(other);
  const held = await StoreLock.acquire(other);
  await symlink(join(other, 'lock-1.sock'), join(ours, 'lock-7.sock'));
  const lock = await StoreLock.acquire(ours);
  t.same(await readdir(ours), ['lock-8.sock']);
  await lock.release();
  await t.rejects(StoreLock.acquire(other), { code: 'STORE_LOCKED' });
  await held.release();
});
