import { diffOf, type Change } from './change.ts';
import { FileChanged } from './errors.ts';
import {
  keepWithin,
  makeDirectoriesFor,
  readFileWithin,
  removeEmptyDirectories,
  removeFileWithin,
  writeFileWithin,
} from './files.ts';
import {
  emptyRecord,
  hashOf,
  readRecord,
  recordPath,
  writeRecord,
  type FileRecord,
  type SetupRecord,
} from './record.ts';
import type { RuntimeName, SetupAround } from './runtime.ts';
import { planUndo, putBack } from './undo.ts';

/**
 * Writes the changes of a setup, and what is needed to take them back: first the files as they were are kept beside them, then
 * the record is written, then the files. Where that fails midway, what this call had written is put back. Gives the backups.
 */
export async function apply(around: SetupAround, runtime: RuntimeName, changes: readonly Change[]): Promise<string[]> {
  const { root, clock } = around;
  const earlier = await readRecord(around, runtime);
  for (const { path, before } of changes) {
    if ((await readFileWithin(root, path))?.text !== before?.text) throw new FileChanged({ path });
  }
  const directories = await makeDirectoriesFor(root, recordPath(around, runtime));
  const now: FileRecord[] = [];
  try {
    for (const change of changes) {
      directories.push(...(await makeDirectoriesFor(root, change.path)));
      now.push(await stepOf(root, earlier, change));
    }
    const at = new Date(clock.now()).toISOString();
    await writeRecord(around, runtime, joined(earlier ?? emptyRecord(runtime), { at, directories, files: now }));
    for (const { path, before, after } of changes) {
      if (after === undefined) await removeFileWithin(root, path);
      else await writeFileWithin(root, path, { text: after, like: before });
    }
    return now.flatMap(({ backup }) => backup ?? []);
  } catch (error) {
    await takeBack(around, runtime, { earlier, directories, files: now }).catch(() => {});
    throw error;
  }
}

/** What is done to a file now. Of one that was changed before, the file as it was then is kept already. */
async function stepOf(root: string, earlier: SetupRecord | undefined, change: Change): Promise<FileRecord> {
  const { path, before, after } = change;
  const isKnown = earlier?.files.some((file) => file.path === path) ?? false;
  const backup = before && !isKnown ? await keepWithin(root, path) : null;
  return { path, backup, steps: [{ before: hashOf(before?.text), after: hashOf(after), diff: diffOf(change) }] };
}

function joined(
  record: SetupRecord,
  { at, directories, files }: Pick<SetupRecord, 'at' | 'directories' | 'files'>,
): SetupRecord {
  const byPath = new Map(record.files.map((file) => [file.path, file]));
  for (const file of files) {
    const known = byPath.get(file.path);
    byPath.set(file.path, known ? { ...known, steps: [...known.steps, ...file.steps] } : file);
  }
  return { ...record, at, directories: [...record.directories, ...directories], files: [...byPath.values()] };
}

/** As it was before this call. Where that fails, too, the record stays for `--undo`. */
async function takeBack(
  around: SetupAround,
  runtime: RuntimeName,
  { earlier, directories, files }: { earlier: SetupRecord | undefined; directories: string[]; files: FileRecord[] },
): Promise<void> {
  const { root } = around;
  const plan = await planUndo(around, { ...emptyRecord(runtime), files });
  await putBack(root, plan.files);
  if (earlier) await writeRecord(around, runtime, earlier);
  else await removeFileWithin(root, recordPath(around, runtime));
  await removeEmptyDirectories(root, directories);
}
