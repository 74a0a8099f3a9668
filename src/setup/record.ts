import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Type, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { NoRecord } from './errors.ts';
import { readFileWithin, writeFileWithin } from './files.ts';
import type { RuntimeName, SetupAround } from './runtime.ts';

/** It quotes lines of files that may be secret. */
const RECORD_MODE = 0o600;
const FORMAT = 1;

const Step = Type.Object({
  /** SHA-256 of the text before and after; null: there was no file. */
  before: Type.Union([Type.String(), Type.Null()]),
  after: Type.Union([Type.String(), Type.Null()]),
  diff: Type.String(),
});

const FileRecord = Type.Object({
  path: Type.String(),
  /** Where the file as it was before the first step is kept; null: there was none. */
  backup: Type.Union([Type.String(), Type.Null()]),
  steps: Type.Array(Step),
});

const SetupRecord = Type.Object({
  format: Type.Literal(FORMAT),
  runtime: Type.String(),
  /** Of the last step, ISO 8601. */
  at: Type.String(),
  /** Those that were made, the outermost first. */
  directories: Type.Array(Type.String()),
  files: Type.Array(FileRecord),
});

export type FileRecord = Static<typeof FileRecord>;
/** What was changed for a runtime, so that it can be taken back: step by step where it was set up more than once. */
export type SetupRecord = Static<typeof SetupRecord>;

/** With the system's files, so that it goes where they go. */
export function recordPath({ account }: Pick<SetupAround, 'account'>, runtime: RuntimeName): string {
  return join(account.root ? '/etc' : join(account.home, '.config'), 'hawker/setup', `${runtime}.json`);
}

/** What was changed; undefined: nothing that is known. Rejects with SETUP_NO_RECORD for a record that cannot be read. */
export async function readRecord(around: SetupAround, runtime: RuntimeName): Promise<SetupRecord | undefined> {
  const path = recordPath(around, runtime);
  const file = await readFileWithin(around.root, path);
  if (!file) return undefined;
  let record: unknown;
  try {
    record = JSON.parse(file.text);
  } catch {
    throw new NoRecord({ runtime, path, why: 'is no JSON' });
  }
  if (Value.Check(SetupRecord, record)) return record;
  throw new NoRecord({ runtime, path, why: 'has another form than this version writes' });
}

export async function writeRecord(around: SetupAround, runtime: RuntimeName, record: SetupRecord): Promise<void> {
  const text = `${JSON.stringify(record, undefined, 2)}\n`;
  await writeFileWithin(around.root, recordPath(around, runtime), { text, mode: RECORD_MODE });
}

export function emptyRecord(runtime: RuntimeName): SetupRecord {
  return { format: FORMAT, runtime, at: '', directories: [], files: [] };
}

export function hashOf(text: string | undefined): string | null {
  return text === undefined ? null : createHash('sha256').update(text).digest('hex');
}
