import type { FastifyRequest } from 'fastify';
import type { Audit } from '../base/audit.ts';
import { parseDigest } from '../base/digest.ts';
import { withoutUserinfo } from '../base/userinfo.ts';

const ASKS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What commands name whose body does not say it. */
const subjects = new WeakMap<FastifyRequest, string>();

/** For the line about a command: the image that it turned out to be about. */
export function commandIsAbout(request: FastifyRequest, image: string): void {
  subjects.set(request, image);
}

/** Who has given a command, and what came of it. */
interface Given {
  readonly client: string;
  /** By what right; undefined: by being on this machine. */
  readonly by: 'operator' | undefined;
  readonly status: number;
}

/**
 * Notes a command that whoever gave it might give, when it has been answered: one line each. What only asks, and what there is no
 * command for, is not noted.
 */
export function auditCommand(audit: Audit, request: FastifyRequest, { client, by, status }: Given): void {
  const { method, url, body, is404 } = request;
  if (ASKS.has(method) || is404) return;
  const {
    image = subjects.get(request),
    what = image,
    dryRun,
  } = (typeof body === 'object' && body !== null ? body : {}) as CommandBody;
  const about = typeof what === 'string' ? what : undefined;
  const digest = about === undefined ? undefined : parseDigest(about);
  audit.record({
    role: 'api',
    client,
    decision: 'allowed',
    identity: by,
    method,
    path: url.split('?', 1)[0],
    // Somebody may have put a password before the registry.
    reference: digest || about === undefined ? undefined : withoutUserinfo(about),
    digest,
    dryRun: dryRun === true ? true : undefined,
    status,
  });
}

/** What commands name: nobody has looked at its shape yet. */
interface CommandBody {
  readonly image?: unknown;
  readonly what?: unknown;
  readonly dryRun?: unknown;
}
