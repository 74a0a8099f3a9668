import { CodedError } from '../base/errors.ts';

/** What is known of a failure at an origin. None of it may hold a credential, a token, or the query of a URL. */
export interface OriginFailure {
  /** The registry's host, as in `docker.io`. */
  readonly upstream: string;
  /** What was being done: `reading a blob of library/app`. */
  readonly step: string;
  /** What came back. */
  readonly seen: string;
  /** How long the origin asks us to wait, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** What to do about an error of this code, where the origin is no registry. */
  readonly todoOf?: ((code: string) => string | undefined) | undefined;
}

/** The origin's own word on what was asked, not a failure: it ends or denies a right, and is never covered by something stale. */
export type OriginAnswer = 401 | 403 | 404 | 429;

/** Something went wrong at, or on the way to, an origin registry. */
export abstract class OriginError extends CodedError {
  /** Trying again here is useless. */
  abstract readonly final: boolean;
  abstract readonly answer: OriginAnswer | undefined;
  abstract readonly retryAfterMs: number | undefined;
  abstract readonly failure: OriginFailure;
}

export function isOriginError(error: unknown): error is OriginError {
  return error instanceof OriginError;
}

interface OriginErrorClass {
  new (failure: OriginFailure, options?: { cause?: unknown }): OriginError;
  readonly code: string;
}

function originError(
  code: string,
  traits: { final: boolean; answer?: OriginAnswer; todo: (failure: OriginFailure) => string },
): OriginErrorClass {
  return class extends OriginError {
    static readonly code = code;
    readonly code = code;
    readonly final = traits.final;
    readonly answer = traits.answer;
    readonly retryAfterMs: number | undefined;
    readonly todo: string;
    readonly failure: OriginFailure;
    constructor(failure: OriginFailure, options?: { cause?: unknown }) {
      super(`${failure.upstream}, ${failure.step}: ${failure.seen}`, options);
      this.name = code;
      this.failure = failure;
      this.retryAfterMs = failure.retryAfterMs;
      this.todo = failure.todoOf?.(code) ?? traits.todo(failure);
    }
  };
}

export const OriginUnauthorized = originError('ORIGIN_UNAUTHORIZED', {
  final: true,
  answer: 401,
  todo: (f) => `if it should be readable, give upstreams."${f.upstream}" a credential, or renew the one it has`,
});

export const OriginDenied = originError('ORIGIN_DENIED', {
  final: true,
  answer: 403,
  todo: (f) => `check the name, and the rights of the account that upstreams."${f.upstream}" uses (none: anonymous)`,
});

export const OriginNotFound = originError('ORIGIN_NOT_FOUND', {
  final: true,
  answer: 404,
  todo: () => 'check the name; many registries also say this of what they do not let the asker see',
});

export const OriginRateLimited = originError('ORIGIN_RATE_LIMITED', {
  final: false,
  answer: 429,
  todo: (f) =>
    `wait, or configure an account for upstreams."${f.upstream}": most registries allow more to those they know`,
});

export const OriginServerError = originError('ORIGIN_SERVER_ERROR', {
  final: false,
  todo: (f) => `look at the state page or the logs of ${f.upstream}; it is asked again by itself`,
});

export const OriginUnreachable = originError('ORIGIN_UNREACHABLE', {
  final: false,
  todo: (f) => `check DNS, routes, firewall and egress proxy from this node to ${f.upstream}`,
});

export const OriginTimeout = originError('ORIGIN_TIMEOUT', {
  final: false,
  todo: (f) => `check the network from this node to ${f.upstream}, and its load`,
});

export const OriginStalled = originError('ORIGIN_STALLED', {
  final: false,
  todo: (f) => `the rest is asked for again by itself; if it goes on, check the network to ${f.upstream}`,
});

export const OriginCut = originError('ORIGIN_CUT', {
  final: false,
  todo: (f) => `the rest is asked for again by itself; if it goes on, check what lies between here and ${f.upstream}`,
});

/** An answer that is none to the question. `OriginBadRange` is its milder sister. */
export const OriginBadResponse = originError('ORIGIN_BAD_RESPONSE', {
  final: true,
  todo: (f) => `check that ${f.upstream} is a registry, and that no login page or proxy answers for it`,
});

/** A wrong answer to a range: the whole is asked for next, so trying again is of use. */
export const OriginBadRange = originError('ORIGIN_BAD_RESPONSE', {
  final: false,
  todo: (f) =>
    `nothing, the whole is asked for instead; but ${f.upstream}, or a cache before it, has a fault with ranges`,
});

export const OriginTls = originError('ORIGIN_TLS', {
  final: true,
  todo: (f) =>
    `check the certificate of ${f.upstream}; for a private authority set upstreams."${f.upstream}".ca, for a registry without TLS an http:// url`,
});

export const OriginRedirectRefused = originError('ORIGIN_REDIRECT_REFUSED', {
  final: true,
  todo: (f) => `check the configuration of ${f.upstream} (its external URL, its storage redirect)`,
});

export const OriginRealmRefused = originError('ORIGIN_REALM_REFUSED', {
  final: true,
  todo: (f) => `if that token service is right, add its host to upstreams."${f.upstream}".allow`,
});

export const OriginAddressRefused = originError('ADDRESS_REFUSED', {
  final: true,
  todo: (f) => `if the address is right, add the host or its network to upstreams."${f.upstream}".allow`,
});

export const OriginCredentials = originError('ORIGIN_CREDENTIALS', {
  final: true,
  todo: (f) => `mend the credential of upstreams."${f.upstream}"`,
});

/** Not of a registry: a file is another now than when it was asked for. */
export const OriginFileChanged = originError('FILE_CHANGED', {
  final: true,
  todo: () => 'ask again: what had come of the old file is not mixed with the new one',
});
