import { codeOf, describeError } from '../../base/errors.ts';
import { stepOf, STEPS, todoOf, type Step } from './session-errors.ts';

/** What keeps a proxy from a supernode, as log and status show it. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  readonly step: Step | '';
  readonly todo: string;
  /** `host:port`; several, separated by a comma, where each has its fault. */
  readonly address: string;
}

export function faultOf(error: unknown): Fault {
  if (error instanceof AllFailed) return { ...faultOf(error.worst), message: error.message, address: error.address };
  return {
    code: codeOf(error),
    message: describeError(error),
    step: stepOf(error) ?? '',
    todo: todoOf(error),
    address: addressOf(error),
  };
}

/** All addresses of a name have failed, each in its way. Code and cure are those of the one that came furthest. */
export class AllFailed extends Error {
  readonly worst: Error;
  readonly address: string;

  constructor(errors: readonly Error[]) {
    super(errors.map(describeError).join('; '));
    const progress = (error: Error): number => STEPS.indexOf(stepOf(error) ?? 'resolve');
    this.worst = errors.reduce((furthest, error) => (progress(error) > progress(furthest) ? error : furthest));
    this.address = errors.map(addressOf).join(', ');
  }
}

/** One error for what has happened to each address of a supernode. */
export function faultOfAll(errors: readonly Error[]): Error {
  return errors.length === 1 ? errors[0]! : new AllFailed(errors);
}

function addressOf(error: unknown): string {
  const params = error instanceof Error && 'params' in error ? error.params : undefined;
  const isNamed = typeof params === 'object' && params !== null;
  if (isNamed && 'address' in params) return String(params.address);
  return isNamed && 'host' in params ? String(params.host) : '';
}
