import { closeSync, constants, openSync, readFileSync } from 'node:fs';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

/** For `open`, of a file of notes to which lines are added; no link is followed. */
export const APPEND = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW;
export const FILE_MODE = 0o600;

/** The lines of a file of notes, the empty ones too. Throws the error of reading it; no link is followed. */
export function readLines(path: string): string[] {
  const file = openSync(path, O_RDONLY | O_NOFOLLOW);
  try {
    return readFileSync(file, 'utf8').split('\n');
  } finally {
    closeSync(file);
  }
}
