import type { Audit } from '../base/audit.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { ClientGone } from '../http/abort.ts';
import { isOriginError } from '../registry/errors.ts';
import { FileNotAllowed } from './errors.ts';
import type { AskedFile } from './files.ts';
import type { Transfer } from './transfers.ts';

/** How a request for a file has ended. */
interface Outcome {
  /** The address of whoever asked. */
  readonly client: string | undefined;
  readonly method: string | undefined;
  /** Undefined: what was asked for makes no sense. */
  readonly asked: AskedFile | undefined;
  readonly transfer: Transfer | undefined;
  readonly error: unknown;
  /** The head of an answer with the file, or with a part of it, has gone out. */
  readonly isGiven: boolean;
  readonly status: number;
  /** A page in a browser has asked. */
  readonly isPage: boolean;
}

/**
 * Notes what came of a request for a file that is not for everybody: its URL has a query, which is what one is signed by, it was asked for with a login, or its server
 * or this node's configuration refuses it. Of a URL host and path are noted; the query never is.
 */
export function auditFile(audit: Audit, outcome: Outcome): void {
  const { client, method, asked, transfer, error, isGiven, status, isPage } = outcome;
  const { url } = asked ?? {};
  if (!isPage && (!url || (url.search === '' && !asked?.headers && !isRefusal(error)))) return;
  if (!isGiven && error instanceof ClientGone) return;
  const sources = Object.entries(transfer?.sources ?? {}).filter(([, bytes]) => bytes > 0);
  audit.record({
    role: 'files',
    client,
    decision: isGiven ? 'allowed' : 'denied',
    code: isGiven ? undefined : error instanceof CodedError ? codeOf(error) : 'INTERNAL',
    method,
    file: url && `${url.host}${url.pathname}`,
    digest: asked?.sha256,
    status,
    source: isGiven ? (sources.length > 1 ? 'mixed' : sources[0]?.[0]) : undefined,
    bytes: sources.reduce((sum, [, bytes]) => sum + bytes, 0),
  });
}

/** The error says that somebody else might have got it, or that nobody does here. */
function isRefusal(error: unknown): boolean {
  if (error instanceof FileNotAllowed) return true;
  const answer = isOriginError(error) ? error.answer : undefined;
  return answer === 401 || answer === 403;
}
