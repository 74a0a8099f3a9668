import { chmod, mkdir, readdir, rm, symlink, writeFile, chown } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSocketServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { checkStore } from '../../src/doctor/store.ts';
import { openStore, temporaryDirectory } from '../store/temporary.ts';
import { aroundWith, withCode } from './node-rig.ts';

const NOBODY = 65534;
const root = process.getuid?.() === 0;

async function check(t: Test, dir: string, more: { store?: object; api?: object; proxy?: object } = {}) {
  const store = { dir, quota: '20GiB', ...more.store };
  const quiet = { api: { listen: '127.0.0.1:1' }, proxy: { listen: '127.0.0.1:2' } };
  return await checkStore(await aroundWith(t, '/', { ...quiet, ...more, store }));
}

async function privateDirectory(t: Test): Promise<string> {
  const dir = join(await temporaryDirectory(t), 'store');
  await mkdir(dir, { mode: 0o700 });
  return dir;
}

t.test('a store that is well, in use and not', async (t) => {
  const dir = await privateDirectory(t);
  const all = await check(t, dir);
  t.same(
    all.map(({ code, status }) => [code, status]),
    ['STORE_DIR', 'STORE_WRITE', 'STORE_LOCK', 'STORE_SPACE', 'STORE_INODES', 'STORE_FILESYSTEM', 'STORE_QUOTA'].map(
      (code) => [code, 'ok'],
    ),
  );
  t.same(await readdir(dir), [], 'nothing is left behind');
  t.match(withCode(all, 'STORE_LOCK'), [{ seen: /free/ }]);
  const { store } = await openStore(t, dir);
  t.match(withCode(await check(t, dir), 'STORE_LOCK'), [{ status: 'ok', seen: `held by process ${process.pid}` }]);
  t.ok((await readdir(dir)).includes('lock-1.sock'), 'the lock stays where it is');
  await store.close();
});

t.test('a lock whose process is gone', async (t) => {
  const dir = await privateDirectory(t);
  const hold = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  await promisify(execFile)(process.execPath, ['-e', hold, join(dir, 'lock-3.sock')]).catch(() => {});
  t.match(withCode(await check(t, dir), 'STORE_LOCK'), [{ status: 'ok', seen: /is gone/ }]);
  t.same(await readdir(dir), ['lock-3.sock'], 'it is not tidied away by a look');
});

t.test('the running proxy keeps its blobs elsewhere', async (t) => {
  const server = createSocketServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const proxy = { listen: `127.0.0.1:${(server.address() as AddressInfo).port}` };
  const found = withCode(await check(t, await privateDirectory(t), { proxy }), 'STORE_LOCK');
  t.match(found, [{ status: 'failed', seen: new RegExp(`process ${process.pid} serves`), todo: /--config/ }]);
});

t.test('directories that do not do', async (t) => {
  const dir = await privateDirectory(t);
  const wrong = async () => withCode(await check(t, dir), 'STORE_DIR');
  await chmod(dir, 0o755);
  t.match(await wrong(), [{ status: 'ok' }], 'what will be within is for its owner only');
  await mkdir(join(dir, 'v1'), { mode: 0o755 });
  t.match(await wrong(), [
    { status: 'failed', seen: /mode 0755/, meaning: /private images/, todo: `chmod 0700 ${dir} ${dir}/v1` },
  ]);
  await chmod(dir, 0o777);
  t.match(await wrong(), [{ status: 'failed', meaning: /does not start/ }]);
  await rm(dir, { recursive: true });
  await writeFile(dir, '');
  t.match(await wrong(), [{ status: 'failed', seen: /no directory/ }]);
  await rm(dir);
  await symlink('/tmp', dir);
  t.match(await wrong(), [{ status: 'failed', seen: /symbolic link/, todo: /readlink/, error: 'STORE_DIR_UNUSABLE' }]);
  await rm(dir);
  t.match(await wrong(), [{ status: 'ok', seen: /not there yet/ }]);
  t.match(withCode(await check(t, '/proc/hawker'), 'STORE_DIR'), [
    { status: 'failed', seen: /cannot be made in \/proc/ },
  ]);
});

t.test('a directory of another user', { skip: root ? false : 'needs root' }, async (t) => {
  const dir = await privateDirectory(t);
  await chown(dir, NOBODY, NOBODY);
  const found = withCode(await check(t, dir), 'STORE_DIR');
  t.match(found, [{ status: 'failed', seen: /belongs to user 65534/, todo: /setpriv --reuid 65534/ }]);
});

t.test('file systems', { skip: root ? false : 'needs root' }, async (t) => {
  const dir = await privateDirectory(t);
  const run = promisify(execFile);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=80m,mode=0700,nr_inodes=100', 'tmpfs', dir]);
  t.teardown(() => run('umount', [dir]));
  const small = await check(t, dir);
  t.match(withCode(small, 'STORE_FILESYSTEM'), [{ status: 'ok', seen: /tmpfs: the store is in memory/ }]);
  t.match(withCode(small, 'STORE_SPACE'), [{ status: 'failed', seen: /80 MiB free/, todo: /free space/ }]);
  t.match(withCode(small, 'STORE_INODES'), [{ status: 'failed', seen: /of 100 free/ }]);
  await run('mount', ['-o', 'remount,ro', dir]);
  t.match(withCode(await check(t, dir), 'STORE_WRITE'), [{ status: 'failed', todo: /read-only/ }]);
  await run('mount', ['-o', 'remount,rw', dir]);
  await run('dd', ['if=/dev/zero', `of=${dir}/fill`, 'bs=1M']).catch(() => {});
  t.match(withCode(await check(t, dir), 'STORE_WRITE'), [{ status: 'failed', todo: /disk is full/ }]);
  t.same(await readdir(dir), ['fill'], 'nothing is left behind by a write that failed');
});

t.test('quota and what the proxy has of it', async (t) => {
  const dir = await privateDirectory(t);
  t.match(withCode(await check(t, dir, { store: { quota: '100MiB' } }), 'STORE_QUOTA'), [
    { status: 'failed', todo: /20GiB/ },
  ]);
  const status = { store: { bytes: 3 * 1024 ** 3, quota: 2 ** 60 } };
  const server = createServer((_, response) => response.end(JSON.stringify(status))).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const api = { listen: `127.0.0.1:${(server.address() as AddressInfo).port}` };
  t.match(withCode(await check(t, dir, { api }), 'STORE_SPACE'), [{ seen: /has 3 GiB of .* the disk lets it reach/ }]);
});

t.test('containerd’s content as a second shelf', async (t) => {
  const dir = await privateDirectory(t);
  const containerd = await temporaryDirectory(t);
  const shelf = async () => withCode(await check(t, dir, { store: { containerd } }), 'STORE_CONTAINERD');
  t.match(await shelf(), [{ status: 'failed', error: 'SHELF_NOT_FOUND', todo: /store\.containerd/ }]);
  const blobs = join(containerd, 'io.containerd.content.v1.content/blobs/sha256');
  await mkdir(blobs, { recursive: true });
  t.match(await shelf(), [{ status: 'skipped', seen: /empty/ }]);
  await writeFile(join(blobs, 'a'.repeat(64)), 'blob');
  t.match(await shelf(), [{ status: 'ok', seen: /could be read/ }]);
  t.same(withCode(await check(t, dir), 'STORE_CONTAINERD'), [], 'none is configured');
});
