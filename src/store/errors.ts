import { codedError } from '../base/errors.ts';
import { formatSize } from '../base/units.ts';

/** What to do about whatever goes wrong with files of the store, the same for all of it. */
export const LOOK_AT_DISK = 'look at the disk of store.dir (kernel log, rights, free space)';

/** The directory of the store cannot be used: it, or a part of it, is missing rights, foreign or not a directory. */
export const StoreDirUnusable = codedError('STORE_DIR_UNUSABLE', {
  message: (p: { dir: string; why: string; todo?: string }) => `the store directory ${p.dir} cannot be used: ${p.why}`,
  todo: (p) => p.todo ?? 'give store.dir a directory that the user Hawker runs as owns and may write to',
});

/** Another process has the store open. `pid` is undefined where that process did not answer in time. */
export const StoreLocked = codedError('STORE_LOCKED', {
  message: (p: { dir: string; pid: number | undefined; isStopping?: boolean }) =>
    `another process (${p.pid === undefined ? 'it did not say which' : `pid ${p.pid}`}) uses the store ${p.dir}${p.isStopping === true ? ', and is about to end' : ''}`,
  todo: 'stop that process, or give this one its own store.dir',
});

/** The quota or the disk cannot hold a blob; the blob is to be streamed through. `needBytes` is undefined where unknown. */
export const StoreNoRoom = codedError('STORE_NO_ROOM', {
  message: (p: { digest: string; needBytes: number | undefined; why: string }) =>
    `no room in the store for ${p.digest}${p.needBytes === undefined ? '' : ` (${formatSize(p.needBytes)})`}: ${p.why}`,
  todo: 'raise store.quota, or free space on the disk of store.dir',
});

/** A write, a sync or a rename in the store failed, not for want of room. */
export const StoreWriteFailed = codedError('STORE_WRITE_FAILED', {
  message: (p: { digest: string; why: string }) => `writing ${p.digest} to the store failed: ${p.why}`,
  todo: 'look at the disk of store.dir (kernel log, rights, read-only mount)',
});

/** A read from the store failed, or a blob was shorter than when it was opened. */
export const StoreReadFailed = codedError('STORE_READ_FAILED', {
  message: (p: { digest: string; why: string }) => `reading ${p.digest} from the store failed: ${p.why}`,
  todo: 'look at the disk of store.dir (kernel log)',
});

/** The bytes that came in are not those of the digest; nothing was published. */
export const StoreDigestMismatch = codedError('STORE_DIGEST_MISMATCH', {
  message: (p: { digest: string; actual: string }) => `the bytes received for ${p.digest} have the digest ${p.actual}`,
  todo: 'the bytes were spoilt on the way or at their source; if it comes again, compare the blob at the origin',
});

/** More or fewer bytes came in than the blob has; nothing was published. */
export const StoreSizeMismatch = codedError('STORE_SIZE_MISMATCH', {
  message: (p: { digest: string; expected: number; actual: number }) =>
    `${p.digest} should have ${p.expected} bytes, ${p.actual} are there`,
  todo: 'the blob was cut short on the way or at its source; if it comes again, compare the blob at the origin',
});

/** A second `receive` of a digest whose incoming blob is still open: a mistake of the caller. */
export const StoreIncomingBusy = codedError('STORE_INCOMING_BUSY', {
  message: (p: { digest: string }) => `${p.digest} is coming in already`,
  todo: 'report this as a bug of Hawker',
});

/** The store was closed. */
export const StoreClosed = codedError('STORE_CLOSED', {
  message: (p: { dir: string }) => `the store ${p.dir} is closed`,
  todo: 'the process is stopping; try again once it runs',
});

/** `store.containerd` names no containerd content store; it may come later. */
export const ShelfNotFound = codedError('SHELF_NOT_FOUND', {
  message: (p: { root: string }) => `there is no containerd content store in ${p.root}`,
  todo: 'set store.containerd to containerd’s root (containerd config dump shows it), or leave it out',
});

export const PinTooLarge = codedError('PIN_TOO_LARGE', {
  message: (p: { name: string; bytes: number; most: number }) =>
    `with ${p.name} ${formatSize(p.bytes)} would be pinned, and half of the quota, ${formatSize(p.most)}, may be`,
  todo: 'unpin something (`hawker blobs --node` shows what is pinned), or raise store.quota',
});

export const PinsFull = codedError('PINS_FULL', {
  message: (p: { pins: number; blobs: number }) => `${p.pins} images or ${p.blobs} blobs are pinned, no more can be`,
  todo: 'unpin something (`hawker blobs --node` shows what is pinned)',
});
