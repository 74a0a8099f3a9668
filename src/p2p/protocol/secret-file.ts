/*
 * The file of a secret that all nodes share: one line, or two while it is being replaced (docs/rotation.md). The first line is the
 * one to prove with; both are accepted. A label before the second says which of the two comes to stay: `next:` or `previous:`.
 */
import { open } from 'node:fs/promises';
import { describeError } from '../../base/errors.ts';
import { isPrivate, octal } from '../../base/private-file.ts';
import { shownPath } from '../../base/shown-path.ts';
import { SecretUnusable } from './errors.ts';

export const MIN_SECRET_CHARACTERS = 32;
export const MAX_SECRET_CHARACTERS = 1024;
const MAX_LABEL_CHARACTERS = 16;
const MAX_FILE_BYTES = 2 * (MAX_SECRET_CHARACTERS + MAX_LABEL_CHARACTERS) + 4;
const LABELLED = /^(next|previous): ?(.*)$/;

/** What the second line is: what will be proved with, what was, or (without a label) one of the two. */
export type SecondRole = 'next' | 'previous' | 'second';

/** What a secret file holds: never log it. */
export interface Secrets {
  readonly first: string;
  readonly second?: { readonly secret: string; readonly role: SecondRole } | undefined;
}

/**
 * Reads a secret file: one or two lines of 32 characters or more, that nobody but its owner can read. Throws SECRET_UNUSABLE,
 * which says what is wrong with it and nothing of what is in it.
 */
export async function readSecretFile(path: string): Promise<Secrets> {
  const shown = shownPath(path);
  // The system's own error names the path again: what it says is kept, and no more.
  const unusable = (why: string) => new SecretUnusable({ path: shown, why: why.replaceAll(path, shown) });
  let text: string;
  try {
    const file = await open(path, 'r');
    try {
      const about = await file.stat();
      if (!isPrivate(about)) throw unusable(`others than its owner may use it (mode ${octal(about.mode)})`);
      const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      text = buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof SecretUnusable ? error : unusable(describeError(error));
  }
  const parsed = parseSecrets(text);
  if (typeof parsed === 'string') throw unusable(parsed);
  return parsed;
}

/** What a secret file's text says, or what is wrong with it (without a word of what it holds). */
export function parseSecrets(text: string): Secrets | string {
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  const [first = '', labelled] = lines;
  if (lines.length > 2) return 'it has more than two lines';
  if (labelled === undefined) return faultOf(first, 'its line') ?? { first };
  const [, label, rest] = LABELLED.exec(labelled) ?? [];
  const secret = rest ?? labelled;
  const fault = faultOf(first, 'its first line') ?? faultOf(secret, 'its second line');
  if (fault !== undefined) return fault;
  if (secret === first) return 'its two lines hold the same secret';
  return { first, second: { secret, role: (label as SecondRole | undefined) ?? 'second' } };
}

/** The text of a secret file. */
export function secretsText({ first, second }: Secrets): string {
  if (!second) return `${first}\n`;
  return `${first}\n${second.role === 'second' ? '' : `${second.role}: `}${second.secret}\n`;
}

function faultOf(secret: string, line: string): string | undefined {
  if (secret.includes('\r')) return `${line} has a carriage return in it`;
  if (secret.length < MIN_SECRET_CHARACTERS) return `${line} has less than ${MIN_SECRET_CHARACTERS} characters`;
  if (secret.length > MAX_SECRET_CHARACTERS) return `${line} has more than ${MAX_SECRET_CHARACTERS} characters`;
  return undefined;
}
