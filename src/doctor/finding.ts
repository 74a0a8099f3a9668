import { CodedError, codeOf, describeError } from '../base/errors.ts';
import type { Finding } from './check.ts';

/** Which check it is: its stable code, and its title. */
export type About = Pick<Finding, 'code' | 'title'>;

export function ok({ code, title }: About, seen: string): Finding {
  return { code, status: 'ok', title, seen, meaning: '', todo: '' };
}

export function failed(
  { code, title }: About,
  { seen, meaning, todo, error }: Pick<Finding, 'seen' | 'meaning' | 'todo'> & { error?: string | undefined },
): Finding {
  return { code, status: 'failed', title, seen, meaning, todo, ...(error !== undefined && { error }) };
}

/** What a coded error says, with its code. */
export function failedBy(about: About, error: unknown, meaning: string): Finding {
  return failed(about, { seen: describeError(error), meaning, todo: todoOf(error), error: codeOf(error) });
}

export function skipped({ code, title }: About, why: string): Finding {
  return { code, status: 'skipped', title, seen: why, meaning: '', todo: '' };
}

function todoOf(error: unknown): string {
  if (error instanceof CodedError) return error.todo;
  const { todo } = (error ?? {}) as { todo?: unknown };
  return typeof todo === 'string' ? todo : 'read the log of both sides (--log-level debug says more)';
}
