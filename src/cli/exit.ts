import { CodedError, codeOf, describeError } from '../base/errors.ts';
import { isConfigError } from '../config/errors.ts';
import { formatAddress } from '../config/formats.ts';
import { listenError } from '../app/errors.ts';
import { UsageWrong } from './errors.ts';

/** Exit statuses; scripts rely on them. */
export const DONE = 0;
export const FAILED = 1;
export const WRONG_USAGE = 2;

/** The one line on standard error that says why and what to do. */
export function failureLine(error: unknown): string {
  const known = error instanceof CodedError ? error : fromListen(error);
  if (known) return line(known.code, describeError(known), known.todo);
  return line(codeOf(error), describeError(error) || String(error), 'run again with --log-level debug to see more');
}

export function usageLine(message: string, command: string): string {
  return line('USAGE', message, `see ${command} --help`);
}

export function statusOf(error: unknown): number {
  return isConfigError(error) || error instanceof UsageWrong ? WRONG_USAGE : FAILED;
}

function line(code: string, message: string, todo: string): string {
  const sentence = message.replace(/\.+$/, '');
  const text = `hawker: ${code}: ${sentence}. ${todo.charAt(0).toUpperCase()}${todo.slice(1)}`;
  return `${text.replaceAll(/\s+/g, ' ')}\n`;
}

/** A system error of `listen` tells its address itself. */
function fromListen(error: unknown): CodedError | undefined {
  const { syscall, address, port } = (error ?? {}) as { syscall?: string; address?: string; port?: number };
  if (syscall !== 'listen' || address === undefined || port === undefined) return undefined;
  return listenError(error, formatAddress({ host: address, port }));
}
