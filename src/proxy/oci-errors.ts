import { CodedError } from '../base/errors.ts';
import * as errors from './errors.ts';

/** Error codes of the OCI distribution spec, and (the last) one that docker's registry adds. */
type OciCode =
  | 'NAME_INVALID'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'UNSUPPORTED'
  | 'NAME_UNKNOWN'
  | 'MANIFEST_UNKNOWN'
  | 'BLOB_UNKNOWN'
  | 'RANGE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED';

/** What a request was for, which decides how its failure is called. */
export type Subject = 'manifest' | 'blob' | 'other';

/** An error as a client sees it: an HTTP status and a JSON body. */
export interface OciAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const REFUSALS: Readonly<Record<string, readonly [number, OciCode]>> = {
  [errors.NameInvalid.code]: [400, 'NAME_INVALID'],
  [errors.TagInvalid.code]: [400, 'MANIFEST_INVALID'],
  [errors.DigestInvalid.code]: [400, 'DIGEST_INVALID'],
  [errors.UrlTooLong.code]: [414, 'NAME_INVALID'],
  [errors.NamespaceInvalid.code]: [400, 'NAME_INVALID'],
  [errors.NamespaceConflict.code]: [400, 'NAME_INVALID'],
  [errors.RangesRefused.code]: [400, 'RANGE_INVALID'],
  [errors.RangeUnsatisfiable.code]: [416, 'RANGE_INVALID'],
  [errors.WriteUnsupported.code]: [405, 'UNSUPPORTED'],
  [errors.CatalogUnsupported.code]: [404, 'UNSUPPORTED'],
  [errors.LoginNeeded.code]: [401, 'UNAUTHORIZED'],
  [errors.MirrorLoginNeeded.code]: [401, 'UNAUTHORIZED'],
  // A 404: a client that gets a 403 or 401 here may take it for the registry's last word.
  [errors.LoginRefused.code]: [404, 'DENIED'],
  [errors.RuleMissing.code]: [404, 'DENIED'],
  [errors.UpstreamUnknown.code]: [404, 'NAME_UNKNOWN'],
};

/** How a client logs in at the mirror itself (RFC 7617). */
const MIRROR_CHALLENGE = 'Basic realm="Hawker", charset="UTF-8"';

/** Everything else is "not here": the one answer on which every client goes to the origin at once. */
const UNKNOWN: Readonly<Record<Subject, OciCode>> = {
  manifest: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  other: 'NAME_UNKNOWN',
};

/**
 * The one place where errors become OCI JSON. A 5xx is never sent: it costs docker over a minute, a 404 nothing. The `detail`
 * says what happened and what to do; errors that are not coded are faults of Hawker's own, and say no more than that.
 */
export function ociAnswer(error: unknown, subject: Subject): OciAnswer {
  const known = error instanceof CodedError;
  const [status, code] = (known ? REFUSALS[error.code] : undefined) ?? [404, UNKNOWN[subject]];
  const detail = known
    ? { code: error.code, seen: error.message, todo: error.todo }
    : { code: 'INTERNAL', seen: 'an unexpected error', todo: 'please report it, with the log of this time' };
  const body = JSON.stringify({ errors: [{ code, message: detail.seen, detail }] });
  const headers: Record<string, string> = {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    'Docker-Distribution-Api-Version': 'registry/2.0',
  };
  if (status === 405) headers['Allow'] = 'GET, HEAD';
  if (error instanceof errors.LoginNeeded) headers['WWW-Authenticate'] = error.params.challenge;
  if (error instanceof errors.MirrorLoginNeeded) headers['WWW-Authenticate'] = MIRROR_CHALLENGE;
  if (error instanceof errors.RangeUnsatisfiable) headers['Content-Range'] = `bytes */${error.params.size}`;
  return { status, headers, body };
}
