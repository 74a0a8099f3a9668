import { getDomain } from 'tldts';
import { OriginRealmRefused } from './errors.ts';
import type { Errand } from './failures.ts';

/**
 * The URL of the token endpoint that a challenge names. A registry may send its clients only to its own host, to its own
 * registrable domain (public suffix list, private section included) or to a host that the configuration opens, and from https only
 * to https: credentials are sent there. Throws ORIGIN_REALM_REFUSED.
 */
export function tokenRealm(
  errand: Errand,
  realm: string | undefined,
  registry: URL,
  isConfigured: (host: string) => boolean,
): URL {
  const refuse = (seen: string) => new OriginRealmRefused({ ...errand, seen });
  if (realm === undefined || !URL.canParse(realm)) throw refuse('a challenge without the URL of a token service');
  const url = new URL(realm);
  if (url.protocol !== 'https:' && url.protocol !== registry.protocol) {
    throw refuse(`a token service at ${url.protocol}//${url.host}, which is not https`);
  }
  if (url.username !== '' || url.password !== '')
    throw refuse(`a token service at ${url.host} with a credential in its URL`);
  const own = url.hostname === registry.hostname || sameDomain(url.hostname, registry.hostname);
  if (!own && !isConfigured(url.hostname)) throw refuse(`its token service is said to be ${url.host}, a foreign host`);
  return url;
}

function sameDomain(a: string, b: string): boolean {
  const domain = getDomain(a, { allowPrivateDomains: true });
  return domain !== null && domain === getDomain(b, { allowPrivateDomains: true });
}
