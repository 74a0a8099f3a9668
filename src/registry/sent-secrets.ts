/** Less is no secret, and would be found in other words. */
const MIN_CHARACTERS = 4;
/** Fields of a form that open something (RFC 6749, 4.3.2 and 6). */
const SECRET_FIELDS = ['password', 'refresh_token'] as const;
/** What a token endpoint is asked by (distribution's token spec). All else in a query may be a signature. */
const OPEN_PARAMETERS: ReadonlySet<string> = new Set(['service', 'scope']);

/** Headers whose values everybody may know. */
const OPEN_HEADERS: ReadonlySet<string> = new Set(['accept', 'accept-encoding', 'content-type', 'range', 'user-agent']);

/** What a request carries. */
export interface Sent {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly form?: Readonly<Record<string, string>> | undefined;
}

/** The secrets of a request, in every form in which whoever got it may say them again; the longest first. */
export function secretsIn({ url, headers, form }: Sent): string[] {
  const signatures = [...url.searchParams].filter(([name]) => !OPEN_PARAMETERS.has(name)).map(([, value]) => value);
  const fields = SECRET_FIELDS.map((name) => form?.[name] ?? '');
  const others = Object.entries(headers ?? {}).filter(([name]) => !OPEN_HEADERS.has(name));
  const secrets = [...signatures, ...fields, ...others.flatMap(([name, value]) => inHeader(name, value))];
  const forms = new Set(secrets.filter((secret) => secret.length >= MIN_CHARACTERS).flatMap(formsOf));
  return [...forms].toSorted((a, b) => b.length - a.length);
}

/** `words` without the secrets. */
export function withoutSecrets(words: string, secrets: readonly string[]): string {
  return secrets.reduce((text, secret) => text.replaceAll(secret, '…'), words);
}

/** Of a header that nobody here knows: all of it, and each value of a cookie. */
function inHeader(name: string, value: string): string[] {
  if (name === 'authorization') return inAuthorization(value);
  return [value, ...value.split(/;\s*/).map((part) => part.slice(part.indexOf('=') + 1))];
}

function inAuthorization(authorization: string): string[] {
  const [, scheme = '', value = ''] = /^(\S+) +(\S+)/.exec(authorization) ?? [];
  if (scheme.toLowerCase() !== 'basic') return [value];
  const text = Buffer.from(value, 'base64').toString();
  return [value, text, text.slice(text.indexOf(':') + 1)];
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('hex'),
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
  ];
}
