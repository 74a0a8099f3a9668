import { createHmac, randomBytes } from 'node:crypto';
import type { Authoriser, Refusable } from './authoriser.ts';
import type { Credential, CredentialSource } from './credentials.ts';

/** Of this process alone, so that what is kept under a credential's name tells nothing of the credential. */
const KEY = randomBytes(32);

/** What a client has sent for a registry. Never logged, never stored; it goes to that registry and to nobody else. */
export type ClientCredential = { readonly principal: string } & (
  | { readonly kind: 'bearer'; readonly authorization: string; readonly token: string }
  | { readonly kind: 'basic'; readonly credential: Credential }
);

/** What an `Authorization` header holds; undefined: nothing that a registry would take (RFC 6750, RFC 7617). */
export function parseClientCredential(authorization: string): ClientCredential | undefined {
  const [, scheme, value] = /^(Bearer|Basic) +(\S+) *$/i.exec(authorization) ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  const kind = scheme.toLowerCase() === 'bearer' ? 'bearer' : 'basic';
  const principal = createHmac('sha256', KEY).update(`${kind} ${value}`).digest('base64url');
  if (kind === 'bearer') return { principal, kind, authorization: `Bearer ${value}`, token: value };
  const text = Buffer.from(value, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  const credential = { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) } as const;
  return { principal, kind, credential };
}

/** Sends a client's own token as it is: where the registry does not take it, only the client can get a better one. */
export class GivenToken implements Authoriser {
  readonly #authorization: string;

  constructor(authorization: string) {
    this.#authorization = authorization;
  }

  authorised<T extends Refusable>(
    _repository: string,
    send: (authorization: string | undefined) => Promise<T>,
  ): Promise<T> {
    return send(this.#authorization);
  }

  async authorization(): Promise<string> {
    return this.#authorization;
  }

  async renewed(): Promise<undefined> {
    return undefined;
  }
}

/** A client's own password. */
export class GivenPassword implements CredentialSource {
  readonly configured = true;
  readonly #credential: Credential;

  constructor(credential: Credential) {
    this.#credential = credential;
  }

  async read(): Promise<Credential> {
    return this.#credential;
  }
}
