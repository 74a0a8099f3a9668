/**
 * The disk is full, has no inode left, or can only be read. No client gets a wrong byte or an error, the node says what is short, and
 * with the shortage over all is as before.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { hashFile } from './support/clients/client.ts';
import { Hawker } from './support/hawker.ts';
import { Origin } from './support/origin.ts';
import { must, run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { levelOf, publishBlobs, REPOSITORY, statusOf, UP } from './support/shortage.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
const PULL_BOUND_MS = 60_000;
const KEEP_BOUND_MS = 5000;
const STEP_BOUND_MS = 30_000;

/** The store of the node named `hawker`, on a file system of its own. */
async function mountStore(rig: Rig, options: string): Promise<string> {
  const dir = await rig.folder('hawker-store');
  await must('mount', ['-t', 'tmpfs', '-o', `mode=0700,${options}`, 'tmpfs', dir]);
  return dir;
}

/** Pulls a blob; where its bytes came from, with the right bytes. */
async function sourceOf(rig: Rig, hawker: Hawker, digest: string): Promise<string> {
  const file = join(rig.dir, `one-${digest.slice(-12)}`);
  const url = `${hawker.url}/v2/${REPOSITORY}/blobs/${digest}`;
  const args = ['--silent', '--show-error', '--fail', '--write-out', '%header{x-hawker-source}', '--output', file, url];
  const source = await must('curl', args, { boundMs: PULL_BOUND_MS });
  const actual = await hashFile(file);
  await rm(file);
  return actual === digest ? source : `wrong bytes from ${source}`;
}

/** Whether a blob that was pulled is given from the store, once it has been synced and moved to its place there. */
async function isKept(rig: Rig, hawker: Hawker, digest: string): Promise<boolean> {
  await sourceOf(rig, hawker, digest);
  const isStored = async () => (await sourceOf(rig, hawker, digest)) === 'store';
  return until('it is stored', KEEP_BOUND_MS, isStored).then(
    () => true,
    () => false,
  );
}

e2e(t, 'a full disk', ['docker-registry', 'curl', 'mount'], async (t, rig) => {
  const origin = await Origin.start(rig);
  const [large = '', ...small] = [
    ...(await publishBlobs(rig, origin, 1, 48 * MiB)),
    ...(await publishBlobs(rig, origin, 6, 8 * MiB)),
  ];
  // 64 MiB of it are to stay free.
  const dir = await mountStore(rig, 'size=96m');
  const hawker = await Hawker.start(rig, 'hawker', origin.url, UP);

  for (const digest of small) t.ok(await isKept(rig, hawker, digest), 'what fits is kept, older blobs make way');
  t.equal(await sourceOf(rig, hawker, large), 'origin', 'what does not fit is streamed through');
  t.equal(hawker.logged('STORE_NO_ROOM').length, 1, 'which is said once');
  t.equal(await levelOf(hawker), 'none', 'others still fit');

  // Another program takes what is left.
  const other = join(dir, 'other');
  await run('dd', ['if=/dev/zero', `of=${other}`, 'bs=1M', 'count=95', 'status=none']);
  await until('it is said', STEP_BOUND_MS, async () => (await levelOf(hawker)) === 'pass-through');
  for (const digest of [large, ...small])
    t.match(await sourceOf(rig, hawker, digest), /origin|store/, 'a full disk is no error');
  t.equal(hawker.logged('RESOURCES_SHORT').length, 1, 'one line');
  t.match((await statusOf(hawker)).pressure.reasons, [{ what: 'disk' }]);
  t.equal(hawker.logged('STORE_NO_ROOM').length, 1, 'and none a blob');

  await hawker.kill9();
  await hawker.start();
  t.match(await sourceOf(rig, hawker, large), /origin/, 'it starts on a full disk too');

  await rm(other);
  await until('it has recovered', STEP_BOUND_MS, async () => (await levelOf(hawker)) === 'none');
  t.ok(await isKept(rig, hawker, small[0]!), 'blobs are kept again');
  t.same(hawker.logged('UNCAUGHT'), [], 'no fault of its own');
});

e2e(t, 'a disk without a free inode', ['docker-registry', 'curl', 'mount'], async (t, rig) => {
  const origin = await Origin.start(rig);
  const digests = await publishBlobs(rig, origin, 20, 2 * MiB);
  await mountStore(rig, 'size=512m,nr_inodes=48');
  const hawker = await Hawker.start(rig, 'hawker', origin.url, UP);
  for (const digest of digests) t.match(await sourceOf(rig, hawker, digest), /origin|store/);
  t.ok(hawker.running, 'it runs');
  t.same(hawker.logged('UNCAUGHT'), [], 'no fault of its own');
  await until(
    'nothing is short, for older blobs made way',
    STEP_BOUND_MS,
    async () => (await levelOf(hawker)) === 'none',
  );
  t.ok(await isKept(rig, hawker, digests.at(-1)!), 'the newest is kept');
});

e2e(t, 'a disk that becomes read-only', ['docker-registry', 'curl', 'mount'], async (t, rig) => {
  const origin = await Origin.start(rig);
  const [first = '', second = '', third = ''] = await publishBlobs(rig, origin, 3, 4 * MiB);
  const dir = await mountStore(rig, 'size=512m');
  const hawker = await Hawker.start(rig, 'hawker', origin.url, UP);
  t.ok(await isKept(rig, hawker, first));
  await until(
    'nothing is written',
    STEP_BOUND_MS,
    async () => (await run('mount', ['-o', 'remount,ro', dir])).code === 0,
  );

  t.equal(await sourceOf(rig, hawker, first), 'store', 'what is there is served from there');
  t.equal(await sourceOf(rig, hawker, second), 'origin', 'what is not is streamed through');
  await until('it is said', STEP_BOUND_MS, async () => (await levelOf(hawker)) === 'pass-through');
  t.equal(await sourceOf(rig, hawker, second), 'origin', 'and not kept');
  t.match(hawker.logged('RESOURCES_SHORT'), [{ resource: 'disk', msg: /EROFS/ }]);
  await until('writing fails no more', STEP_BOUND_MS, async () => {
    await must('mount', ['-o', 'remount,rw', dir]);
    return (await levelOf(hawker)) === 'none';
  });
  t.equal(await sourceOf(rig, hawker, second), 'origin', 'what came meanwhile is not in the store');
  t.ok(await isKept(rig, hawker, second), 'blobs are kept again');

  await hawker.kill9();
  await must('mount', ['-o', 'remount,ro', dir]);
  await hawker.start();
  t.equal(hawker.logged('STORE_LATE').length, 1, 'it starts without its store');
  t.equal(await sourceOf(rig, hawker, third), 'origin');
  await until('it is seen', STEP_BOUND_MS, async () => (await levelOf(hawker)) === 'pass-through');
  t.match((await statusOf(hawker)).pressure, { reasons: [{ what: 'disk' }] });
  await must('mount', ['-o', 'remount,rw', dir]);
  await until('the store is open', STEP_BOUND_MS, async () => hawker.logged('STORE_OPENED').length > 0);
  await until('it has recovered', STEP_BOUND_MS, async () => (await levelOf(hawker)) === 'none');
  t.equal(await sourceOf(rig, hawker, first), 'store', 'what was in the store is there again');
  t.ok(await isKept(rig, hawker, third), 'blobs are kept again');
  t.same(hawker.logged('UNCAUGHT'), [], 'no fault of its own');
});
