/** What a bearer token says of itself, where it can be read. It is taken for no proof: the registry checks the token. */
export interface TokenClaims {
  /** Milliseconds since 1970, by the clock of the token service. */
  readonly expiresAt?: number;
  /** Whom the token service says that it was made for. */
  readonly subject?: string;
}

/** The latest time that a `Date` can hold, in milliseconds: an `exp` beyond it means nothing. */
const MAX_TIME_MS = 8.64e15;
const MAX_SUBJECT_CHARACTERS = 100;

/** Three parts in base64url, the second of which is a JSON object (RFC 7519, sections 3 and 4.1). Any other token says nothing. */
const JWT = /^[\w-]+\.([\w-]+)\.[\w-]*$/;

/** Never throws. */
export function claimsOf(token: string): TokenClaims {
  const [, payload] = JWT.exec(token) ?? [];
  if (payload === undefined) return {};
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  } catch {
    return {};
  }
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return {};
  const { exp, sub } = claims as { exp?: unknown; sub?: unknown };
  const isTime = typeof exp === 'number' && Number.isFinite(exp) && Math.abs(exp * 1000) <= MAX_TIME_MS;
  const isName = typeof sub === 'string' && sub !== '' && sub.length <= MAX_SUBJECT_CHARACTERS;
  return { ...(isTime && { expiresAt: exp * 1000 }), ...(isName && { subject: sub }) };
}
