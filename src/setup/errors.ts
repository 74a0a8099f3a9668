import { codedError } from '../base/errors.ts';

/** A runtime's file is not what it should be. The runtime itself would not take it either. */
export const FileInvalid = codedError('SETUP_FILE_INVALID', {
  message: (p: { path: string; why: string }) =>
    `${p.path} cannot be read as what it should be: ${p.why}; nothing was changed`,
  todo: (p) => `mend ${p.path} (the runtime does not take it as it is, either), then run this again`,
});

/** A file is right, but written so that a line cannot be put into it without touching what is there. */
export const FileForm = codedError('SETUP_FILE_FORM', {
  message: (p: { path: string; why: string; lines: string }) =>
    `${p.path} is written so that it cannot be changed without touching other things (${p.why}); nothing was changed`,
  todo: (p) => `put this into it by hand: ${p.lines}`,
});

export const FileRefused = codedError('SETUP_FILE_REFUSED', {
  message: (p: { path: string; verb: 'read' | 'written'; why: string; code: string }) =>
    `${p.path} cannot be ${p.verb}: ${p.why}`,
  todo: (p) => REFUSED_TODO[p.code] ?? 'see what is wrong with that file or its disk, then run this again',
});

const REFUSED_TODO: Readonly<Record<string, string>> = {
  EACCES: 'run this as root (sudo)',
  EPERM: 'run this as root (sudo); if you are, look whether the file is immutable (`lsattr`)',
  ENOSPC: 'make room on that disk, then run this again',
  ENOTDIR: 'a part of that path is no directory: put it right, then run this again',
};

/** Something else owns the file: a read-only system, or a link into a store that a tool fills. */
export const FileManaged = codedError('SETUP_FILE_MANAGED', {
  message: (p: { path: string; target: string; why: string }) =>
    `${p.path}${p.target === p.path ? '' : ` (a link to ${p.target})`} is not to be written here: ${p.why}; nothing was changed`,
  todo: 'make the change that was shown where this system’s files come from (NixOS: its configuration; an image: its build, with --root)',
});

/** The file has changed between showing the change and writing it. */
export const FileChanged = codedError('SETUP_FILE_CHANGED', {
  message: (p: { path: string }) => `${p.path} was changed by somebody else in this very moment; it was left alone`,
  todo: 'run this again, and look at the change anew',
});

/** What is there says something else about the same registry or the same mirror. */
export const SetupConflict = codedError('SETUP_CONFLICT', {
  message: (p: { path: string; seen: string; todo: string }) => `${p.path}: ${p.seen}; nothing was changed`,
  todo: (p) => p.todo,
});

/** containerd takes either the old `registry.mirrors` or hosts.toml, and does not start with both. */
export const OldMirrors = codedError('SETUP_OLD_MIRRORS', {
  message: (p: { path: string; seen: string }) =>
    `${p.path} has ${p.seen}, with which containerd refuses a config_path: it would not start; nothing was changed`,
  todo: (p) =>
    `move it to hosts.toml files below /etc/containerd/certs.d (containerd’s docs/hosts.md), take it out of ${p.path}, then run this again`,
});

export const RegistryRefused = codedError('SETUP_REGISTRY', {
  message: (p: { registry: string; why: string; todo: string }) => `${p.registry} cannot be set up: ${p.why}`,
  todo: (p) => p.todo,
});

/** The mirror has no address that could be written into a file. */
export const MirrorAddress = codedError('SETUP_MIRROR_ADDRESS', {
  message: (p: { why: string; todo: string }) => `there is no address of the mirror to write down: ${p.why}`,
  todo: (p) => p.todo,
});

export const NotConfirmed = codedError('SETUP_NOT_CONFIRMED', {
  message: (p: { asked: boolean }) =>
    p.asked ? 'the change was not wanted; nothing was changed' : 'nobody can be asked here; nothing was changed',
  todo: (p) => (p.asked ? 'nothing' : 'look at the change above, then run this with --yes'),
});

/** Somebody has changed a file since, where Hawker’s part is, or around it. */
export const UndoConflict = codedError('SETUP_UNDO_CONFLICT', {
  message: (p: { path: string; why: string }) =>
    `${p.path} was changed since it was set up, and Hawker’s part cannot be taken out of it by itself: ${p.why}; nothing was changed`,
  todo: (p) =>
    `take the lines with + above out of ${p.path} by hand, put those with - back, and run this again with --forget`,
});

export const NoRecord = codedError('SETUP_NO_RECORD', {
  message: (p: { runtime: string; path: string; why: string }) =>
    `what was changed for ${p.runtime} is not known: ${p.path} ${p.why}`,
  todo: (p) =>
    `see with \`hawker doctor\` whether ${p.runtime} names the mirror; if so, take it out of its files by hand`,
});

/** The files are written; the runtime has not taken them up. */
export const NotActivated = codedError('SETUP_NOT_ACTIVATED', {
  message: (p: { runtime: string; why: string; command: string }) =>
    `the files are written, but ${p.runtime} has not taken them up: ${p.why}`,
  todo: (p) => `see its log, then: ${p.command}`,
});

/** The files are written; that it works has not been seen, or a pull shows that it does not. */
export const NotVerified = codedError('SETUP_NOT_VERIFIED', {
  message: (p: { runtime: string; why: string; todo: string }) =>
    `the files of ${p.runtime} are as they should be, but no pull was seen to go through the mirror: ${p.why}`,
  todo: (p) => p.todo,
});
