import { descriptorsWanted } from '../app/resources.ts';
import { softOpenFiles } from '../base/descriptors.ts';
import { memoryGroups, readerBelow, tightestOf, type MemoryGroup } from '../base/memory.ts';
import { formatSize, MiB } from '../base/units.ts';
import type { Around, Check, Finding } from './check.ts';
import { failed, ok, skipped } from './findings.ts';
import { namesIn, textOf } from './node-files.ts';
import { findProxyProcess, type ProxyProcess } from './proxy-process.ts';

const BUSY_OPEN_FILES = descriptorsWanted({ peers: true });
/** Of its limit in use, and more is about to fail. */
const FULL_PART = 0.8;
/** What a proxy takes under load: buffers are bounded, and V8 keeps some room before it collects. */
const NEEDED_MEMORY_BYTES = 200 * MiB;

/** Open files and memory: of the running proxy, or where none runs, of what one that is started from here would have. */
export const checkLimits: Check = async (around) => {
  const proxy = await findProxyProcess(around.root, around.config);
  return [await checkOpenFiles(around, proxy), await checkMemory(around, proxy)];
};

async function checkOpenFiles({ root }: Around, proxy: ProxyProcess): Promise<Finding> {
  const pid = proxy.kind === 'found' ? proxy.pid : 'self';
  const whose = pid === 'self' ? 'a proxy started from here' : `the proxy (process ${pid})`;
  const subject = { code: 'OPEN_FILES', title: `open files of ${whose}` };
  const limit = softOpenFiles((await textOf(root, `/proc/${pid}/limits`)) ?? '');
  if (limit === undefined) return skipped(subject, `/proc/${pid}/limits does not say its limit`);
  const open = pid === 'self' ? 0 : (await namesIn(root, `/proc/${pid}/fd`)).length;
  const need = `a busy proxy needs ${BUSY_OPEN_FILES} (a connection and a file a client)`;
  // The kernel shows no file of another user's process.
  const used = pid === 'self' ? '' : open === 0 ? ', how many are open may not be looked at' : `, ${open} are open`;
  const note = proxy.kind === 'none' ? `${proxy.why}; ` : '';
  const seen = `${note}the limit is ${limit === Infinity ? 'none' : limit}${used}; ${need}`;
  const todo =
    'systemd: LimitNOFILE=65536 in the unit; docker: --ulimit nofile=65536; a shell: ulimit -n 65536; then restart the proxy';
  if (limit < BUSY_OPEN_FILES) {
    const meaning = 'under load connections are refused and files cannot be opened: pulls go to the registry instead';
    return failed(subject, { seen, meaning, todo });
  }
  if (open > limit * FULL_PART) {
    return failed(subject, { seen, meaning: 'it is about to refuse connections: pulls then go to the registry', todo });
  }
  return ok(subject, seen);
}

async function checkMemory({ root }: Around, proxy: ProxyProcess): Promise<Finding> {
  const running = proxy.kind === 'found' ? proxy.pid : undefined;
  const subject = {
    code: 'MEMORY',
    title: running === undefined ? 'memory for a proxy' : `memory of the proxy (process ${running})`,
  };
  const machine = (await textOf(root, '/proc/meminfo')) ?? '';
  const available = kilobytes(machine, 'MemAvailable');
  if (available === undefined) return skipped(subject, '/proc/meminfo does not say what is available');
  const swap = kilobytes(machine, 'SwapTotal') ?? 0;
  const resident = running === undefined ? 0 : (kilobytes(await textOf(root, `/proc/${running}/status`), 'VmRSS') ?? 0);
  const read = readerBelow(root);
  const groups = running === undefined ? [] : memoryGroups(read(`/proc/${running}/cgroup`), read);
  const tightest = tightestOf(groups);
  const kills = groups[0]?.kills ?? 0;
  const need = `a proxy needs ${formatSize(NEEDED_MEMORY_BYTES)}`;
  const parts = [
    ...(proxy.kind === 'none'
      ? [`${proxy.why}, so its own limits cannot be looked at`]
      : [`it has ${formatSize(resident)}`]),
    ...(groups[0] ? [groupText(groups[0], tightest)] : []),
    `the machine has ${formatSize(available)} available, swap ${swap === 0 ? 'none' : formatSize(swap)}`,
    need,
  ];
  const seen = parts.join('; ');
  const killed = 'the kernel kills the proxy: pulls under way are cut off, and go to the registry until it is back';
  const raise =
    'raise the limit (systemd: MemoryMax=, docker: --memory, Kubernetes: resources.limits.memory) to 512 MiB';
  if (tightest?.limit !== undefined && tightest.limit < NEEDED_MEMORY_BYTES) {
    return failed(subject, { seen, meaning: killed, todo: raise });
  }
  if (kills > 0) {
    const todo = tightest === undefined ? 'look into the kernel’s log (dmesg) for what took the memory' : raise;
    return failed(subject, { seen, meaning: `it has happened already, ${kills} times: ${killed}`, todo });
  }
  if (available + resident < NEEDED_MEMORY_BYTES) {
    const todo = 'free memory on this machine (ps aux --sort -rss), or add some';
    return failed(subject, { seen, meaning: killed, todo });
  }
  return ok(subject, seen);
}

/** `own` is the process' group, `tightest` the one on the way up to the root that has the least limit. */
function groupText(own: MemoryGroup, tightest: MemoryGroup | undefined): string {
  const { used, limit } = tightest ?? own;
  const ofUsed = used === undefined ? '' : `, ${formatSize(used)} used`;
  const ofLimit = limit === undefined ? 'no limit' : `the limit ${formatSize(limit)}`;
  return `its control group ${own.path} has ${ofLimit}${ofUsed}, ${own.kills} killed for want of memory`;
}

function kilobytes(text: string | undefined, name: string): number | undefined {
  const match = new RegExp(`^${name}:\\s+(\\d{1,15}) kB`, 'm').exec(text ?? '');
  return match ? Number(match[1]) * 1024 : undefined;
}
