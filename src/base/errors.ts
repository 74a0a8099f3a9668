/**
 * Coded errors. Every error that an operator can meet has a stable code (upper case, kept once released), says what
 * was tried and what came back, and what to do. An area keeps its errors in one catalogue, `<area>/errors.ts`:
 *
 *     export const StoreLocked = codedError('STORE_LOCKED', {
 *       message: (p: { dir: string }) => `another process uses the store ${p.dir}`,
 *       todo: 'stop that process, or give this one its own store.dir',
 *     });
 *     throw new StoreLocked({ dir }, { cause });
 */
export abstract class CodedError extends Error {
  /** Stable: scripts and the troubleshooting page rely on it. */
  abstract readonly code: string;
  /** What the operator can do about it, one line. */
  abstract readonly todo: string;
}

export interface CodedErrorClass<P> {
  new (params: P, options?: { cause?: unknown }): CodedError & { readonly params: P };
  readonly code: string;
}

/** Declares one error of a catalogue. `message` must put no secret into its text. */
export function codedError<P>(
  code: string,
  text: { message: (params: P) => string; todo: string | ((params: P) => string) },
): CodedErrorClass<P> {
  return class extends CodedError {
    static readonly code = code;
    readonly code = code;
    readonly todo: string;
    readonly params: P;
    constructor(params: P, options?: { cause?: unknown }) {
      super(text.message(params), options);
      this.name = code;
      this.params = params;
      this.todo = typeof text.todo === 'string' ? text.todo : text.todo(params);
    }
  };
}

/** The code of a coded error or of a system error (`ENOSPC`, `ECONNREFUSED`), else `UNKNOWN`. */
export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return 'UNKNOWN';
}

/** What a log line says of an error beside its text: its code, and where it has one, what to do. */
export function codeAndTodo(error: unknown): { code: string; todo?: string } {
  return { code: codeOf(error), ...(error instanceof CodedError && { todo: error.todo }) };
}

/** One line for people: the message, and the causes behind it that say something new. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error, depth = 0; e !== undefined && e !== null && depth < 5; depth += 1) {
    const text = e instanceof Error ? e.message || codeOf(e) : typeof e === 'string' ? e : codeOf(e);
    if (!parts.some((p) => p.includes(text))) parts.push(text);
    e = e instanceof Error ? e.cause : undefined;
  }
  return parts.join(': ').replaceAll(/\s+/g, ' ');
}

/** An `Error` for whatever was thrown, for places that must hand one on. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(describeError(thrown));
}
