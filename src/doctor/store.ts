import { randomUUID } from 'node:crypto';
import { lstat, mkdir, open, realpath, rename, rm, rmdir, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Stats } from 'node:fs';
import { codeOf, describeError } from '../base/errors.ts';
import { formatSize, GiB } from '../base/units.ts';
import { StoreDirUnusable } from '../store/errors.ts';
import { LAYOUT_VERSION } from '../store/layout.ts';
import { lockHolder } from '../store/lock.ts';
import { DISK_RESERVE_BYTES } from '../store/room.ts';
import type { Around, Check, Finding } from './check.ts';
import { failed, ok, skipped, type Problem } from './findings.ts';
import { findProxyProcess, type ProxyProcess } from './proxy-process.ts';
import { storeUsage } from './proxy-api.ts';
import { checkShelf } from './shelf.ts';

/** Layers of machine-learning images are as large; what is larger than the quota is never kept. */
const COMMON_LAYER_BYTES = GiB;
/** A blob takes two inodes while it comes in; fewer than this, and the disk is about to refuse. */
const LEAST_INODES = 10_000;
const OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;
const PROBE_BYTES = 4096;

/** `f_type` of statfs(2) (linux/magic.h), where it matters to a cache. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0x01021994: 'tmpfs: the store is in memory, counts as such, and is gone after a restart of the machine',
  0x858458f6: 'ramfs: the store is in memory, without a limit, and is gone after a restart of the machine',
  0x794c7630: 'overlayfs: in a container’s own layer the store is slow, and gone with the container; give it a volume',
  0x6969: 'NFS: the store’s lock works on one machine only, so no other may use the same directory',
  0xff534d42: 'CIFS: Unix sockets and hard links, which the store’s lock needs, may not work there',
};
const ORDINARY: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x2fc12fc1: 'zfs',
};

/** The directory that blobs are kept in. What is written there for the test has a name that the store passes over. */
export const checkStore: Check = async (around) => {
  const { dir } = around.config.store;
  const proxy = await findProxyProcess(around.root, around.config);
  const subject = { code: 'STORE_DIR', title: `store directory ${dir}` };
  const unusable = 'the proxy does not start with it';
  const shelf = await checkShelf(around);
  let info: Stats;
  try {
    info = await lstat(dir);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [await canBeMade(dir), quotaFinding(around), ...shelf];
    const todo = 'give store.dir a directory that the user Hawker runs as owns and may write to';
    const seen = describeError(error);
    return [failed(subject, { seen, meaning: unusable, todo, error: StoreDirUnusable.code }), ...shelf];
  }
  const within = await lstat(join(dir, LAYOUT_VERSION)).catch(() => undefined);
  const wrong = wrongDirectory(dir, { info, within }, proxy);
  if (wrong) return [failed(subject, { ...wrong, error: StoreDirUnusable.code }), quotaFinding(around), ...shelf];
  const mode = `0${(info.mode & 0o777).toString(8)}`;
  return [
    ok(subject, `it is there, of user ${info.uid}, mode ${mode}`),
    await canBeWritten(dir, info.uid),
    await checkLock(around, proxy),
    ...(await checkSpace(around)),
    quotaFinding(around),
    ...shelf,
  ];
};

function wrongDirectory(
  dir: string,
  { info, within }: { info: Stats; within: Stats | undefined },
  proxy: ProxyProcess,
): Omit<Problem, 'error'> | undefined {
  const unusable = 'the proxy does not start with it';
  if (info.isSymbolicLink()) {
    const todo = `give store.dir the path that it leads to (readlink -f ${dir})`;
    return { seen: 'it is a symbolic link, which the store does not follow', meaning: unusable, todo };
  }
  if (!info.isDirectory()) return { seen: 'it is no directory', meaning: unusable, todo: `move ${dir} away` };
  const running = proxy.kind === 'found' ? proxy.userId : undefined;
  const expected = running ?? process.getuid?.() ?? info.uid;
  if (info.uid !== expected) {
    const who = running === undefined ? `this user (${expected})` : `user ${expected} that the proxy runs as`;
    const todo = `if Hawker runs as user ${info.uid}, run this as that user (setpriv --reuid ${info.uid} --clear-groups hawker doctor); else chown -R ${expected} ${dir}`;
    return { seen: `it belongs to user ${info.uid}, not to ${who}`, meaning: unusable, todo };
  }
  const shown = `0${(info.mode & 0o777).toString(8)}`;
  if ((info.mode & WRITABLE_BY_OTHERS) !== 0) {
    return { seen: `mode ${shown}: others may write to it`, meaning: unusable, todo: `chmod 0700 ${dir}` };
  }
  // The directories within are made for their owner only, which does as well.
  if ((info.mode & OTHERS) !== 0 && within !== undefined && (within.mode & OTHERS) !== 0) {
    return {
      seen: `mode ${shown}, and 0${(within.mode & 0o777).toString(8)} within: others may look into it`,
      meaning: 'users of this machine can read blobs of private images',
      todo: `chmod 0700 ${dir} ${join(dir, LAYOUT_VERSION)}`,
    };
  }
  return undefined;
}

/** The first start makes it: tried where nothing is left behind by trying. */
async function canBeMade(dir: string): Promise<Finding> {
  const subject = { code: 'STORE_DIR', title: `store directory ${dir}` };
  let parent = dirname(dir);
  while (
    parent !== dirname(parent) &&
    !(await lstat(parent).then(
      () => true,
      () => false,
    ))
  )
    parent = dirname(parent);
  const trial = join(parent, `.hawker-doctor-${randomUUID()}`);
  try {
    await mkdir(trial, { mode: 0o700 });
    await rmdir(trial);
    return ok(
      subject,
      `it is not there yet; the proxy’s first start makes it (a directory could be made in ${parent})`,
    );
  } catch (error) {
    return failed(subject, {
      seen: `it is not there, and cannot be made in ${parent}: ${describeError(error)}`,
      meaning: 'the proxy does not start',
      todo: `as root: install -d -m 0700 -o <the user Hawker runs as> ${dir}`,
      error: StoreDirUnusable.code,
    });
  }
}

async function canBeWritten(dir: string, owner: number): Promise<Finding> {
  const subject = { code: 'STORE_WRITE', title: `writing to ${dir}` };
  const first = join(dir, `.hawker-doctor-${randomUUID()}`);
  const second = `${first}-renamed`;
  try {
    const file = await open(first, 'wx', 0o600);
    try {
      await file.write(Buffer.alloc(PROBE_BYTES));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(first, second);
    await rm(second);
    return ok(subject, `${PROBE_BYTES} bytes were written, synced, renamed and removed`);
  } catch (error) {
    await rm(first, { force: true }).catch(() => {});
    await rm(second, { force: true }).catch(() => {});
    const code = codeOf(error);
    if ((code === 'EACCES' || code === 'EPERM') && process.getuid?.() !== owner) {
      return skipped(subject, `this user may not write there (${code}); run this as user ${owner}`);
    }
    const cause: Record<string, string> = {
      EROFS:
        'the file system is mounted read-only: mount it writable, and look into the kernel’s log for why it is (dmesg)',
      ENOSPC: 'the disk is full: free space on it, or lower store.quota',
      EDQUOT: 'the user’s disk quota is used up: raise it, or lower store.quota',
    };
    return failed(subject, {
      seen: describeError(error),
      meaning: 'nothing new is kept: every pull reads from the origin again, and no peer gets anything from this node',
      todo: cause[code] ?? `look at the disk of ${dir} (dmesg, rights)`,
    });
  }
}

async function checkLock({ config }: Around, proxy: ProxyProcess): Promise<Finding> {
  const { dir } = config.store;
  const subject = { code: 'STORE_LOCK', title: `lock of ${dir}` };
  try {
    const holder = await lockHolder(dir);
    if (holder.state === 'held') {
      return ok(
        subject,
        `held by ${holder.pid === undefined ? 'a process that does not say its id' : `process ${holder.pid}`}`,
      );
    }
    if (proxy.kind === 'found') {
      return failed(subject, {
        seen: `process ${proxy.pid} serves this configuration’s mirror, but does not hold this store`,
        meaning: 'the running proxy keeps its blobs elsewhere: it was started with another configuration than this one',
        todo: 'run this with the proxy’s own --config, or restart the proxy with this one',
      });
    }
    const stale = 'free: the process that had it is gone, and the next start takes its socket over';
    return ok(subject, holder.state === 'stale' ? stale : 'free: no proxy uses this store');
  } catch (error) {
    return skipped(subject, `it may not be looked at: ${describeError(error)}`);
  }
}

async function checkSpace({ config }: Around): Promise<Finding[]> {
  const { dir, quotaBytes } = config.store;
  const space = { code: 'STORE_SPACE', title: `space on the disk of ${dir}` };
  const inodes = { code: 'STORE_INODES', title: `inodes on the disk of ${dir}` };
  const system = { code: 'STORE_FILESYSTEM', title: `file system of ${dir}` };
  try {
    const { bavail, bsize, files, ffree, type } = await statfs(dir);
    const usage = await storeUsage(config);
    const free = bavail * bsize;
    const used = usage
      ? `the store has ${formatSize(usage.bytes)} of ${formatSize(usage.quota)}`
      : `how much the store has only a running proxy says; its quota is ${formatSize(quotaBytes)}`;
    const most = (usage?.bytes ?? 0) + Math.max(0, free - DISK_RESERVE_BYTES);
    const small =
      usage !== undefined && most < usage.quota ? `, of which the disk lets it reach ${formatSize(most)}` : '';
    const seen = `${formatSize(free)} free; ${used}${small}`;
    const name = ORDINARY[type] ?? FILE_SYSTEMS[type] ?? `of type 0x${type.toString(16)}`;
    return [
      free < DISK_RESERVE_BYTES || most < Math.min(quotaBytes, COMMON_LAYER_BYTES)
        ? failed(space, {
            seen,
            meaning: `Hawker leaves ${formatSize(DISK_RESERVE_BYTES)} free: with so little room, larger blobs are passed through and not kept`,
            todo: `free space on that disk, or give store.dir another one`,
          })
        : ok(space, seen),
      // btrfs and others have no fixed number.
      files === 0
        ? ok(inodes, 'this file system has no fixed number of them')
        : ffree < LEAST_INODES
          ? failed(inodes, {
              seen: `${ffree} of ${files} free`,
              meaning: 'files cannot be made although there is space: blobs will not be kept',
              todo: 'remove small files from that disk (df -i), or give store.dir one with more inodes',
            })
          : ok(inodes, `${ffree} of ${files} free`),
      ok(system, `${name} (${await realpath(dir)})`),
    ];
  } catch (error) {
    return [skipped(space, `the file system may not be asked: ${describeError(error)}`)];
  }
}

function quotaFinding({ config }: Around): Finding {
  const { quotaBytes } = config.store;
  const subject = { code: 'STORE_QUOTA', title: 'store.quota' };
  if (quotaBytes >= COMMON_LAYER_BYTES) return ok(subject, formatSize(quotaBytes));
  return failed(subject, {
    seen: `${formatSize(quotaBytes)}, and single layers of ${formatSize(COMMON_LAYER_BYTES)} are common`,
    meaning: 'a blob larger than the quota is passed through and never kept: each node reads it from the origin',
    todo: 'raise store.quota, to 20GiB for example',
  });
}
