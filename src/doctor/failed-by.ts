import { CodedError, codeOf, describeError } from '../base/errors.ts';
import type { Finding } from './check.ts';
import { failed, type Subject } from './findings.ts';

/** A failure that an error stands for: its code, what it says was tried and came back, and what it says to do. */
export function failedBy(subject: Subject, error: unknown, meaning: string): Finding {
  const todo = todoOf(error);
  return failed(subject, { seen: withoutTodo(describeError(error), todo), meaning, todo, error: codeOf(error) });
}

/** A supernode's refusal carries what to do in brackets, which is said below it anyway. */
export function withoutTodo(seen: string, todo: string): string {
  return seen.replace(` (${todo})`, '');
}

function todoOf(error: unknown): string {
  if (error instanceof CodedError) return error.todo;
  // A supernode's refusal has one too.
  const { todo } = (error ?? {}) as { todo?: unknown };
  return typeof todo === 'string' ? todo : 'read the log of both sides (--log-level debug says more)';
}
