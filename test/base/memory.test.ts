import t from 'tap';
import { machineMemory, MEMORY_SHARE, readMemory } from '../../src/base/memory.ts';

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const MEMINFO = `MemTotal:       ${(8 * GiB) / 1024} kB\nMemFree:  1 kB\nMemAvailable:    ${(6 * GiB) / 1024} kB\n`;
const rss = () => 100 * MiB;

function system(files: Record<string, string>) {
  return readMemory((path) => ({ '/proc/meminfo': MEMINFO, ...files })[path], rss);
}

t.test('of a machine without cgroups a share, or what is available', async (t) => {
  t.same(system({}), { used: 100 * MiB, limit: 8 * GiB * MEMORY_SHARE, by: 'machine' });
  const tight = MEMINFO.replace(/MemAvailable: +\d+/, `MemAvailable: ${(20 * MiB) / 1024}`);
  t.same(system({ '/proc/meminfo': tight }), { used: 100 * MiB, limit: 120 * MiB, by: 'machine' });
});

t.test('cgroup v2: the tightest of the groups above, and file pages are as good as free', async (t) => {
  const root = '/sys/fs/cgroup/pod/hawker';
  const files = {
    '/proc/self/cgroup': '0::/pod/hawker\n',
    [`${root}/memory.max`]: 'max\n',
    [`${root}/memory.current`]: `${150 * MiB}\n`,
    [`${root}/memory.stat`]: '',
    '/sys/fs/cgroup/pod/memory.max': `${200 * MiB}\n`,
    '/sys/fs/cgroup/pod/memory.current': `${190 * MiB}\n`,
    '/sys/fs/cgroup/pod/memory.stat': `anon 1\nfile ${60 * MiB}\nshmem ${10 * MiB}\n`,
  };
  t.same(system(files), { used: 100 * MiB, limit: 160 * MiB, by: 'cgroup' });
});

t.test('cgroup v2 in a container, where the root is the group', async (t) => {
  const files = {
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup/memory.max': `${128 * MiB}\n`,
    '/sys/fs/cgroup/memory.current': `${120 * MiB}\n`,
    '/sys/fs/cgroup/memory.stat': 'file 0\nshmem 0\n',
  };
  t.same(system(files), { used: 100 * MiB, limit: 108 * MiB, by: 'cgroup' });
});

t.test('cgroup v1: beside other controllers, and with the path of the host', async (t) => {
  const files = {
    '/proc/self/cgroup': '9:cpu,memory:/docker/abc\n0::/\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${128 * MiB}\n`,
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${128 * MiB}\n`,
    '/sys/fs/cgroup/memory/memory.stat': `cache 5\ntotal_cache ${40 * MiB}\ntotal_shmem 0\n`,
  };
  t.same(system(files), { used: 100 * MiB, limit: 140 * MiB, by: 'cgroup' });
  const none = { ...files, '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n' };
  t.equal(system(none)?.by, 'machine', 'the number that stands for none');
});

t.test('where the system does not say', async (t) => {
  t.equal(
    readMemory(() => undefined, rss),
    undefined,
  );
  t.equal(machineMemory('MemTotal: what'), undefined);
});

t.test('on this machine', { skip: process.platform !== 'linux' }, async (t) => {
  const reading = readMemory();
  t.ok(reading && reading.used > MiB && reading.limit > reading.used);
});
