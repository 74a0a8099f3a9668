import { codeOf, describeError } from '../base/errors.ts';
import { isOriginError, OriginTimeout, OriginUnreachable } from '../registry/errors.ts';
import type { Problem } from './findings.ts';

type Advice = { readonly what: string; readonly todo: string };

/** What node says of certificates and names (doc/api/errors, doc/api/tls "X509 certificate error codes"; doc/api/dns). */
const ADVICE: readonly (readonly [RegExp, (key: string) => Advice])[] = [
  [
    /^CERT_HAS_EXPIRED$/,
    (key) => ({
      what: 'its certificate has expired (or this node’s clock is ahead)',
      todo: `renew the certificate of ${key}; check the clock here (timedatectl)`,
    }),
  ],
  [
    /^CERT_NOT_YET_VALID$/,
    () => ({
      what: 'its certificate is not valid yet: this node’s clock is behind',
      todo: 'set the clock (timedatectl)',
    }),
  ],
  [
    /^(?:ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/,
    (key) => ({
      what: 'its certificate is for another name',
      todo: `write the name that the certificate has into upstreams."${key}".url, or renew it with the right name`,
    }),
  ],
  [
    /^(?:SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|CERT_UNTRUSTED|INVALID_CA)$/,
    (key) => ({
      what: 'its certificate comes from an authority that this node does not know',
      todo: `put the authority’s certificate (PEM) into upstreams."${key}".ca`,
    }),
  ],
  [
    /^(?:EPROTO|ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG)$/,
    (key) => ({
      what: 'it does not speak TLS as this node does; plain HTTP answers like that',
      todo: `if ${key} has no TLS, write upstreams."${key}".url with http://`,
    }),
  ],
  [
    /^ENOTFOUND$/,
    (key) => ({
      what: 'its name does not exist in this node’s DNS',
      todo: `check the spelling of upstreams."${key}", and /etc/resolv.conf here`,
    }),
  ],
  [
    /^(?:EAI_AGAIN|EAI_FAIL|ESERVFAIL)$/,
    () => ({
      what: 'this node’s DNS server does not answer',
      todo: 'check /etc/resolv.conf and the way to the DNS server',
    }),
  ],
  [
    /^ECONNREFUSED$/,
    (key) => ({ what: 'nobody listens there', todo: `check upstreams."${key}".url (host, port), and that it runs` }),
  ],
  [
    /^(?:ENETUNREACH|EHOSTUNREACH)$/,
    (key) => ({ what: 'there is no route to it', todo: `check this node’s routes and egress proxy to ${key}` }),
  ],
  [
    /^(?:ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT|ORIGIN_TIMEOUT)$/,
    (key) => ({
      what: 'it does not answer in time: a firewall drops, or it is overloaded',
      todo: `check firewall, routes and egress proxy from this node to ${key}`,
    }),
  ],
];

/** What was seen and what to do for an error on the way to an origin; `error` is its stable code, where it has one. */
export function originProblem(key: string, error: unknown): Pick<Problem, 'seen' | 'todo'> & { error?: string } {
  const codes = codesOf(error);
  const advice = ADVICE.find(([pattern]) => codes.some((code) => pattern.test(code)))?.[1](key);
  const said = describeError(error);
  const seen = advice ? `${advice.what}: ${said}` : said;
  if (isOriginError(error)) return { seen, todo: advice?.todo ?? error.todo, error: error.code };
  const todo = advice?.todo ?? `check the settings of upstreams."${key}"`;
  const code = /^(?:ENOTFOUND|E(?:AI|SERV).*)$/.test(codes[0]!)
    ? OriginUnreachable.code
    : codes[0] === 'ETIMEDOUT'
      ? OriginTimeout.code
      : undefined;
  return code === undefined ? { seen, todo } : { seen, todo, error: code };
}

/** The codes of an error and of all that is behind it. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  const visit = (one: unknown, depth: number): void => {
    if (depth > 6 || one === undefined || one === null) return;
    codes.push(codeOf(one));
    if (one instanceof AggregateError) for (const part of one.errors as unknown[]) visit(part, depth + 1);
    if (one instanceof Error) visit(one.cause, depth + 1);
  };
  visit(error, 0);
  return codes;
}
