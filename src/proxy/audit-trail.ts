import type { Audit } from '../base/audit.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { ClientGone } from '../http/abort.ts';
import { BlobNotProved } from '../p2p/peer/errors.ts';
import type { LogEntry } from './access-log.ts';
import { LoginNeeded, LoopbackOnly, OriginAnswered, RuleMissing } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { denialIn } from './origin-asking.ts';

/** As much of a credential's keyed hash as tells it from others. */
const CREDENTIAL_CHARACTERS = 16;

/**
 * Notes, when the response to a request about a repository is over, what came of it, if it was about something that is not for
 * everybody: a credential was used, or the registry (or this mirror) wants one. Where nothing was decided before the client went there is no entry.
 */
export function auditExchange(audit: Audit, exchange: Exchange, entry: LogEntry): void {
  exchange.response.once('close', () => {
    const { scope, request, response, identity } = exchange;
    const { upstream, repository } = scope;
    const { error } = entry;
    const isGiven = exchange.hasHead;
    if (!upstream.usesCredentials && !isRefusal(error)) return;
    if (!isGiven && (error === undefined || error instanceof ClientGone)) return;
    const { principal, client } = upstream;
    const credential =
      principal?.slice(0, CREDENTIAL_CHARACTERS) ?? (upstream.usesCredentials ? 'configured' : undefined);
    const { tag, digest } = whatOf(entry);
    audit.record({
      role: 'mirror',
      client: request.socket.remoteAddress,
      decision: isGiven ? 'allowed' : 'denied',
      code: isGiven ? undefined : codeOfDenial(error),
      identity: identity ?? client.user,
      // The registry has taken the token, and so its word.
      subject: isGiven ? client.subject : undefined,
      credential,
      method: request.method,
      registry: upstream.host,
      repository,
      reference: tag,
      digest: digest ?? exchange.digest,
      status: response.statusCode,
      source: isGiven ? sourceOf(exchange) : undefined,
      bytes: exchange.bytes,
    });
  });
}

/** The error says that somebody else might have got it. */
function isRefusal(error: unknown): boolean {
  if (error instanceof LoginNeeded || error instanceof LoopbackOnly || error instanceof RuleMissing) return true;
  if (error instanceof BlobNotProved) return true;
  const answer = error instanceof OriginAnswered ? error.params.status : denialIn(error)?.answer;
  return answer === 401 || answer === 403;
}

function codeOfDenial(error: unknown): string {
  return error instanceof CodedError ? codeOf(error) : 'INTERNAL';
}

function whatOf({ path }: LogEntry): { tag?: string | undefined; digest?: string | undefined } {
  const target = path?.target;
  if (target?.kind === 'blob') return { digest: target.digest };
  if (target?.kind === 'through') return { tag: target.rest };
  if (target?.kind !== 'manifest') return {};
  return 'tag' in target.reference ? { tag: target.reference.tag } : { digest: target.reference.digest };
}

function sourceOf({ sources }: Exchange): string | undefined {
  return sources.size > 1 ? 'mixed' : [...sources][0];
}
