import { parseDocument } from 'yaml';
import { readToml } from '../doctor/toml.ts';
import type { Change } from './change.ts';
import { takeBack } from './diff.ts';
import { UndoConflict } from './errors.ts';
import { moveFileWithin, readFileWithin, removeEmptyDirectories, removeFileWithin, writeFileWithin } from './files.ts';
import { isCaFile } from './mirror-ca.ts';
import { hashOf, readRecord, recordPath, writeRecord, type FileRecord, type SetupRecord } from './record.ts';
import { RUNTIME_NAMES, type RuntimeName, type SetupAround } from './runtime.ts';

/** One file as it is to be again. */
export interface UndoneFile extends Change {
  readonly backup: string | null;
  /** It becomes what it was, to the byte: what is kept of it takes its place. */
  readonly exact: boolean;
}

/** What taking a setup back comes to. */
export interface UndoPlan {
  readonly record: SetupRecord;
  readonly files: readonly UndoneFile[];
}

/**
 * What has to be done so that each file is as if it had never been set up. A file that nobody has touched since becomes what it
 * was; in one that was changed since, only Hawker's lines are taken out. Rejects with SETUP_UNDO_CONFLICT where that cannot be
 * done without a guess.
 */
export async function planUndo({ root }: Pick<SetupAround, 'root'>, record: SetupRecord): Promise<UndoPlan> {
  const files: UndoneFile[] = [];
  for (const file of record.files) files.push(await undoneFile(root, file));
  return { record, files };
}

async function undoneFile(root: string, file: FileRecord): Promise<UndoneFile> {
  const { path, backup, steps } = file;
  const current = await readFileWithin(root, path);
  const kept = backup === null ? undefined : await readFileWithin(root, backup);
  const first = steps[0]!.before;
  const about = { path, before: current, backup };
  const last = steps.at(-1)!;
  // Somebody has taken it away since: that stays so.
  if (!current && last.after !== null) return { ...about, after: undefined, exact: false };
  const hash = hashOf(current?.text);
  if (hash === first) return { ...about, after: current?.text, exact: false };
  const isUntouched = hash === last.after && steps.every((step, i) => i === 0 || step.before === steps[i - 1]!.after);
  if (isUntouched && first === null) return { ...about, after: undefined, exact: false };
  if (isUntouched && kept && hashOf(kept.text) === first) return { ...about, after: kept.text, exact: true };
  if (current && last.after === null) {
    if (first !== null) throw conflict(path, last.diff, 'somebody has made another file of that name');
    return { ...about, after: current.text, exact: false };
  }
  const after = withoutSteps(current?.text ?? '', file);
  // What was made by Hawker, and is empty without its lines, goes.
  return { ...about, after: first === null && after.trim() === '' ? undefined : after, exact: false };
}

/** The text without what the steps put into it, the last first. A step that never came to the disk has nothing to be taken out. */
function withoutSteps(current: string, { path, steps }: FileRecord): string {
  let text = current;
  for (const step of steps.toReversed()) {
    if (hashOf(text) === step.before) continue;
    const without = takeBack(text, step.diff);
    if (without === undefined) throw conflict(path, step.diff, 'its lines are not there as they were written');
    text = without;
  }
  const fault = syntaxFault(path, text);
  if (fault !== undefined)
    throw conflict(path, steps.at(-1)!.diff, `without its lines the file would not be right: ${fault}`);
  return text;
}

/** With the change as it was made, so that a person can take it back. */
function conflict(path: string, diff: string, why: string): UndoConflictWithDiff {
  return Object.assign(new UndoConflict({ path, why }), { diff });
}

/** It has the diff that could not be taken back. */
export type UndoConflictWithDiff = InstanceType<typeof UndoConflict> & { readonly diff: string };

/** Why a text is none of its kind, by the name of its file; undefined: it is right. */
function syntaxFault(path: string, text: string): string | undefined {
  if (isCaFile(path)) return undefined;
  if (path.endsWith('.json')) {
    try {
      if (text.trim() !== '') JSON.parse(text);
      return undefined;
    } catch {
      return 'it would be no JSON';
    }
  }
  if (/\.ya?ml$/.test(path)) return parseDocument(text).errors.length > 0 ? 'it would be no YAML' : undefined;
  const read = readToml(text);
  return 'table' in read ? undefined : `line ${read.line} would be no TOML`;
}

/** Does it, and forgets what was known of it. */
export async function undo(around: SetupAround, runtime: RuntimeName, { record, files }: UndoPlan): Promise<void> {
  await putBack(around.root, files);
  await forget(around, runtime, record);
}

/** Forgets what was changed, and leaves the files as they are, also those that were kept. */
export async function forget(around: SetupAround, runtime: RuntimeName, record: SetupRecord): Promise<void> {
  await removeFileWithin(around.root, recordPath(around, runtime));
  const left = await removeEmptyDirectories(around.root, record.directories);
  // What another runtime's setup has put into them goes with that; then they go, too.
  for (const name of RUNTIME_NAMES) {
    const other = left.length === 0 ? undefined : await readRecord(around, name).catch(() => undefined);
    if (!other) continue;
    await writeRecord(around, name, { ...other, directories: [...left, ...other.directories] });
    return;
  }
}

export async function putBack(root: string, files: readonly UndoneFile[]): Promise<void> {
  for (const { path, before, after, backup, exact } of files) {
    if (exact && backup !== null) {
      await moveFileWithin(root, backup, path);
      continue;
    }
    if (after === undefined) await removeFileWithin(root, path);
    else if (after !== before?.text) await writeFileWithin(root, path, { text: after, like: before });
    // What somebody has taken away since may be wanted again.
    if (backup !== null && before) await removeFileWithin(root, backup);
  }
}
