import type { IncomingHttpHeaders } from 'node:http';
import { AddressRefused } from '../http/address-errors.ts';
import { codeOf, describeError } from '../base/errors.ts';
import {
  isOriginError,
  OriginAddressRefused,
  OriginBadResponse,
  OriginCut,
  OriginDenied,
  OriginNotFound,
  OriginRateLimited,
  OriginServerError,
  OriginTimeout,
  OriginTls,
  OriginUnauthorized,
  OriginUnreachable,
  type OriginError,
} from './errors.ts';
import { bareMediaType } from './media-types.ts';
import { safeWords, wordsOfErrorBody } from './oci-errors.ts';

/** Who is asked and what for: the start of every error's text. */
export interface Errand {
  readonly upstream: string;
  readonly step: string;
  /** See `OriginFailure`. */
  readonly todoOf?: ((code: string) => string | undefined) | undefined;
}

/** Milliseconds in a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date); undefined for none or nonsense. `now` is wall time. */
export function retryAfterMs(header: string | string[] | undefined, now: number): number | undefined {
  const text = (Array.isArray(header) ? header[0] : header)?.trim();
  if (!text) return undefined;
  if (/^\d{1,9}(?:\.\d+)?$/.test(text)) return Number(text) * 1000;
  // An HTTP date begins with the name of a day; `Date.parse` takes much more.
  const date = /^[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** The error for a status that is no success. `body` is what could be read of the body; `secrets` stay out of its text. */
export function failureOfStatus(
  errand: Errand,
  answer: { status: number; headers: IncomingHttpHeaders; body: Uint8Array; secrets: readonly string[] },
  now: number,
): OriginError {
  const { status, headers } = answer;
  const words = wordsOfErrorBody(answer.body, bareMediaType(headers['content-type']), answer.secrets);
  const failure = {
    ...errand,
    seen: words === undefined ? `status ${status}` : `status ${status}, ${words}`,
    retryAfterMs: retryAfterMs(headers['retry-after'], now),
  };
  if (status === 401) return new OriginUnauthorized(failure);
  if (status === 403) return new OriginDenied(failure);
  if (status === 404 || status === 410) return new OriginNotFound(failure);
  if (status === 429) return new OriginRateLimited(failure);
  if (status === 408 || status === 425 || (status >= 500 && status !== 501)) return new OriginServerError(failure);
  return new OriginBadResponse(failure);
}

const CUT_CODES = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'ECONNABORTED', 'ERR_STREAM_PREMATURE_CLOSE']);
const TIMEOUT_CODES = new Set(['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ESOCKETTIMEDOUT']);
const TLS_CODES =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET|VERIFY|DECRYPT)|HOSTNAME_MISMATCH|EPROTO$|INVALID_CA$)/;
const PARSE_CODES = /^(?:HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES|UND_ERR_INVALID|BAD_RESPONSE_HEAD$)/;

/** The error for a request that got no (whole) answer, from whatever node, got or undici threw. */
export function failureOfTransport(errand: Errand, error: unknown): OriginError {
  if (isOriginError(error)) return error;
  const chain = causesOf(error);
  const refused = chain.find((e) => e instanceof AddressRefused);
  if (refused) return new OriginAddressRefused({ ...errand, seen: describeError(refused) }, { cause: error });
  const codes = chain.map(codeOf);
  // Of an attempt at several addresses only its parts say something.
  const telling = chain.some((e) => e instanceof AggregateError) ? chain.at(-1) : error;
  const failure = { ...errand, seen: safeWords(describeError(telling)) };
  if (codes.some((code) => TLS_CODES.test(code))) return new OriginTls(failure, { cause: error });
  if (codes.some((code) => TIMEOUT_CODES.has(code))) return new OriginTimeout(failure, { cause: error });
  if (codes.some((code) => CUT_CODES.has(code))) return new OriginCut(failure, { cause: error });
  if (codes.some((code) => PARSE_CODES.test(code))) return new OriginBadResponse(failure, { cause: error });
  return new OriginUnreachable(failure, { cause: error });
}

/** An error, its causes and, for an attempt at several addresses, theirs: outermost first. */
function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let e = error; e instanceof Error && chain.length < 8; e = e.cause) {
    chain.push(e);
    if (e instanceof AggregateError) chain.push(...(e.errors as unknown[]));
  }
  return chain.length > 0 ? chain : [error];
}
