import type { Finding } from './check.ts';

/** A check's code, and what it was done to. */
export interface Subject {
  readonly code: string;
  readonly title: string;
}

export function ok(subject: Subject, seen: string): Finding {
  return { ...subject, status: 'ok', seen, meaning: '', todo: '' };
}

/** What is wrong, as far as it can be said before it is known which check says it. */
export interface Problem {
  readonly seen: string;
  readonly meaning: string;
  readonly todo: string;
  /** Code of the error behind it. */
  readonly error?: string;
}

export function failed(subject: Subject, problem: Problem): Finding {
  return { ...subject, status: 'failed', ...problem };
}

/** `why` is what kept it from being done. */
export function skipped(subject: Subject, why: string): Finding {
  return { ...subject, status: 'skipped', seen: why, meaning: '', todo: '' };
}
