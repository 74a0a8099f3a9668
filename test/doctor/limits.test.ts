import { createServer, type AddressInfo } from 'node:net';
import { rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { checkLimits } from '../../src/doctor/limits.ts';
import { openStore, temporaryDirectory } from '../store/temporary.ts';
import { aroundWith, nodeRig, withCode, type NodeRig } from './node-rig.ts';

const PID = 4242;
const PORT = 65001;
const MiB = 1024 * 1024;

const limits = (files: number | string) =>
  `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${files}      1048576   files     \n`;
const meminfo = (mib: number) => `MemTotal: 99999999 kB\nMemAvailable:  ${mib * 1024} kB\nSwapTotal:  0 kB\n`;

/** A node whose proxy is process 4242, known by the mirror's port. */
async function node(t: Test, files: Record<string, string> = {}, cgroup = '0::/hawker.service\n'): Promise<NodeRig> {
  const rig = await nodeRig(t);
  const hex = PORT.toString(16).toUpperCase();
  const row = `   0: 0100007F:${hex} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0 100 0 0 10 0\n`;
  const usual = {
    '/proc/net/tcp': `  sl  local_address\n${row}`,
    '/proc/meminfo': meminfo(4000),
    '/proc/self/limits': limits(1048576),
    [`/proc/${PID}/limits`]: limits(65536),
    [`/proc/${PID}/status`]: 'VmRSS:     102400 kB\n',
    [`/proc/${PID}/cgroup`]: cgroup,
    [`/proc/${PID}/fd/.keep`]: '',
  };
  for (const [path, text] of Object.entries({ ...usual, ...files })) await rig.write(path, text);
  await symlink('socket:[777]', join(rig.root, `/proc/${PID}/fd/5`));
  return rig;
}

async function check(t: Test, rig: NodeRig) {
  const store = { dir: await temporaryDirectory(t) };
  return await checkLimits(await rig.around({ store, proxy: { listen: `127.0.0.1:${PORT}` } }));
}

const group = (name: string, files: Record<string, string>) =>
  Object.fromEntries(Object.entries(files).map(([file, text]) => [`/sys/fs/cgroup/${name}/${file}`, text]));

t.test('this process, for real: found by the lock of its store', async (t) => {
  const dir = await temporaryDirectory(t);
  await openStore(t, dir);
  const findings = await checkLimits(await aroundWith(t, '/', { store: { dir }, proxy: { listen: '127.0.0.1:1' } }));
  t.match(withCode(findings, 'OPEN_FILES'), [
    { title: `open files of the proxy (process ${process.pid})`, seen: /\d+ are open/ },
  ]);
  t.match(withCode(findings, 'MEMORY'), [
    { title: `memory of the proxy (process ${process.pid})`, seen: /it has \d+ MiB/ },
  ]);
});

t.test('this process, for real: found by its port', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const listen = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const findings = await checkLimits(await aroundWith(t, '/', { store: { dir: '/not/there' }, proxy: { listen } }));
  t.match(findings, [{ title: new RegExp(`process ${process.pid}`) }, { title: new RegExp(`process ${process.pid}`) }]);
});

t.test('no proxy runs', async (t) => {
  const rig = await node(t, { '/proc/net/tcp': '' });
  t.match(await check(t, rig), [
    { code: 'OPEN_FILES', status: 'ok', title: /started from here/, seen: /no proxy runs/ },
    { code: 'MEMORY', status: 'ok', title: 'memory for a proxy', seen: /cannot be looked at/ },
  ]);
});

t.test(
  'a proxy that cannot be looked at: of another user, or in a container, whose number is another process’s here',
  async (t) => {
    const rig = await node(t, { '/proc/net/tcp': '', [`/proc/${process.pid}/fd/.keep`]: '' });
    const dir = await temporaryDirectory(t);
    await openStore(t, dir);
    const settings = (listen: string) => rig.around({ store: { dir }, proxy: { listen } });
    const held = withCode(await checkLimits(await settings('127.0.0.1:2')), 'OPEN_FILES');
    t.match(held, [
      { title: /started from here/, seen: `process ${process.pid} holds the store, but cannot be looked at` },
    ]);
    const other = await node(t);
    await rm(join(other.root, `/proc/${PID}/fd/5`));
    t.match(withCode(await check(t, other), 'OPEN_FILES'), [{ seen: /somebody listens on port 65001/ }]);
  },
);

t.test('open files', async (t) => {
  const of = async (files: Record<string, string>) => withCode(await check(t, await node(t, files)), 'OPEN_FILES')[0];
  t.match(await of({}), { status: 'ok', seen: /the limit is 65536, 2 are open; a busy proxy needs 2116/ });
  t.match(await of({ [`/proc/${PID}/limits`]: limits(1024) }), {
    status: 'failed',
    seen: /1024/,
    todo: /LimitNOFILE=65536/,
  });
  t.match(await of({ [`/proc/${PID}/limits`]: limits('unlimited') }), { status: 'ok', seen: /none/ });
  t.match(await of({ [`/proc/${PID}/limits`]: 'nothing' }), { status: 'skipped' });
  const many = Object.fromEntries(Array.from({ length: 2200 }, (_, n) => [`/proc/${PID}/fd/x${n}`, '']));
  t.match(await of({ [`/proc/${PID}/limits`]: limits(2600), ...many }), {
    status: 'failed',
    meaning: /about to refuse/,
  });
});

t.test('memory, by cgroup v2', async (t) => {
  const of = async (files: Record<string, string>) => withCode(await check(t, await node(t, files)), 'MEMORY')[0];
  const own = (limit: string, events = 'oom 0\noom_kill 0\n') =>
    group('hawker.service', {
      'memory.max': `${limit}\n`,
      'memory.current': `${150 * MiB}\n`,
      'memory.events': events,
      'memory.stat': `file ${60 * MiB}\nshmem ${10 * MiB}\n`,
    });
  t.match(await of(own('max')), { status: 'ok', seen: /it has 100 MiB; .*no limit, 100 MiB used, 0 killed/ });
  t.match(await of(own(`${512 * MiB}`)), { status: 'ok', seen: /the limit 512 MiB/ });
  t.match(await of(own(`${128 * MiB}`)), { status: 'failed', todo: /MemoryMax/ });
  t.match(await of(own(`${512 * MiB}`, 'oom 3\noom_kill 2\n')), { status: 'failed', meaning: /2 times/ });
  t.match(
    await of({ ...own('max'), ...group('', { 'memory.max': `${100 * MiB}` }) }),
    { status: 'failed' },
    'the limit of a group above',
  );
  t.match(await of({ '/proc/meminfo': meminfo(50) }), { status: 'failed', todo: /free memory/ });
  t.match(await of({ '/proc/meminfo': '' }), { status: 'skipped' });
});

t.test('memory, by cgroup v1, also in a container', async (t) => {
  const cgroup = '4:memory:/docker/abc\n0::/\n';
  const files = {
    'memory.limit_in_bytes': `${100 * MiB}\n`,
    'memory.usage_in_bytes': `${50 * MiB}\n`,
    'memory.oom_control': 'oom_kill 1\n',
  };
  for (const place of ['memory/docker/abc', 'memory']) {
    const rig = await node(t, group(place, files), cgroup);
    t.match(
      withCode(await check(t, rig), 'MEMORY'),
      [{ status: 'failed', seen: /the limit 100 MiB.*1 killed/ }],
      place,
    );
  }
  const rig = await node(
    t,
    group('memory/docker/abc', { ...files, 'memory.limit_in_bytes': '9223372036854771712', 'memory.oom_control': '' }),
    cgroup,
  );
  t.match(withCode(await check(t, rig), 'MEMORY'), [{ status: 'ok', seen: /no limit/ }]);
});
