import { OriginRedirectRefused } from './errors.ts';
import type { Errand } from './failures.ts';

/** As most clients; a registry and its CDN need one or two. */
export const MAX_REDIRECTS = 10;

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/**
 * Where a redirect leads. Throws ORIGIN_REDIRECT_REFUSED without a usable `Location`, after too many, and from https to
 * http unless the upstream itself is plain http. Whether the address may be connected to is the gate's business.
 */
export function redirectTarget(
  errand: Errand,
  from: URL,
  location: string | string[] | undefined,
  state: { hops: number; upstreamIsPlain: boolean },
): URL {
  const refuse = (seen: string) => new OriginRedirectRefused({ ...errand, seen });
  if (state.hops >= MAX_REDIRECTS) throw refuse(`more than ${MAX_REDIRECTS} redirects, the last from ${from.host}`);
  const text = Array.isArray(location) ? location[0] : location;
  if (text === undefined || text === '') throw refuse(`a redirect from ${from.host} without a target`);
  if (!URL.canParse(text, from.href)) throw refuse(`a redirect from ${from.host} to something that is no URL`);
  const target = new URL(text, from);
  if (target.protocol !== 'https:' && target.protocol !== 'http:') {
    throw refuse(`a redirect from ${from.host} to a ${target.protocol} URL`);
  }
  if (target.protocol === 'http:' && !state.upstreamIsPlain) {
    throw refuse(`a redirect from https to http, at ${target.host}`);
  }
  target.username = '';
  target.password = '';
  target.hash = '';
  return target;
}

/** Credentials go to the very scheme, host and port that they are for (CVE-2020-15157; S3 answers 400 to a foreign Authorization). */
export function mayCarryAuthorization(upstream: URL, target: URL): boolean {
  return upstream.origin === target.origin;
}
