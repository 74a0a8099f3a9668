import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { SingleFlight } from '../base/single-flight.ts';
import type { Answer, Client } from './client.ts';
import { basicAuthorization, credentialId, type Credential } from './credentials.ts';
import { OriginBadResponse } from './errors.ts';
import { failureOfStatus, type Errand } from './failures.ts';
import { retrying } from './retry.ts';

/** Where and for what a token is asked. `scope` may hold several, separated by spaces; empty: none, to log in only. */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
}

/** distribution's token spec: 60 s where the answer does not say, and docker and podman take no shorter life for true. */
const DEFAULT_LIFE_S = 60;
const MIN_LIFE_S = 60;
const MAX_LIFE_S = 86_400;
/** A token is used for this part of its life. */
const USED_PART = 0.9;
const MAX_TOKENS = 2000;
/** ACR's come to 4 KiB, those of some Harbors with many projects to ten times that. */
const MAX_ANSWER_BYTES = 256 * 1024;
const CLIENT_ID = 'hawker';
/** POST is not offered (GCR 404, Artifactory 401, ACR 400 for what is no refresh token): GET is asked instead, as containerd does. */
const NO_POST = new Set([400, 401, 404, 405]);

interface Kept {
  readonly value: string;
  readonly usableUntil: number;
  /** Ends the wait for its end: one that nobody can use any more does not stay in memory. */
  readonly forget: () => void;
}

/** The bearer tokens of one registry, by realm, service, scope and credential; joined, kept, and renewed before they expire. */
export class Tokens {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #upstream: string;
  readonly #kept = new LRUCache<string, Kept>({ max: MAX_TOKENS, dispose: ({ forget }) => forget() });
  readonly #flights = new SingleFlight<string, string>();
  /** Realms at which only GET works. */
  readonly #getOnly = new LRUCache<string, true>({ max: 16 });

  constructor(client: Client, clock: Clock, upstream: string) {
    this.#client = client;
    this.#clock = clock;
    this.#upstream = upstream;
  }

  /**
   * A token, from here if there is one; `refused` is one that the registry did not take, and is not given again. A 401 or 403
   * of the token endpoint is the registry's answer: ORIGIN_UNAUTHORIZED, ORIGIN_DENIED.
   */
  async get(request: TokenRequest, credential: Credential | undefined, refused?: string): Promise<string> {
    const key = JSON.stringify([request.realm.href, request.service, request.scope, credentialId(credential)]);
    const kept = this.#kept.get(key);
    if (kept && kept.value !== refused && this.#clock.monotonic() < kept.usableUntil) return kept.value;
    return this.#flights.run(key, () => this.#fetch(key, request, credential));
  }

  async #fetch(key: string, request: TokenRequest, credential: Credential | undefined): Promise<string> {
    const errand = { upstream: this.#upstream, step: `asking ${request.realm.host} for a token` };
    const askedAt = this.#clock.monotonic();
    const answer = await retrying(() => this.#ask(errand, request, credential), this.#clock);
    const { value, lifeS } = parseToken(errand, answer);
    this.#keep(key, value, askedAt + lifeS * 1000 * USED_PART);
    return value;
  }

  /** A function of its own: what waits for the end must not see, and so keep, the credential. */
  #keep(key: string, value: string, usableUntil: number): void {
    const kept: Kept = { value, usableUntil, forget: () => cancel() };
    const cancel = this.#clock.after(Math.max(0, usableUntil - this.#clock.monotonic()), () => {
      if (this.#kept.peek(key) === kept) this.#kept.delete(key);
    });
    this.#kept.set(key, kept);
  }

  async #ask(errand: Errand, request: TokenRequest, credential: Credential | undefined): Promise<Answer> {
    const { href } = request.realm;
    if (!credential) return this.#checked(errand, await this.#get(errand, request, undefined));
    if (credential.kind === 'identity') return this.#checked(errand, await this.#post(errand, request, credential));
    if (!this.#getOnly.has(href)) {
      const posted = await this.#post(errand, request, credential);
      if (!NO_POST.has(posted.status)) return this.#checked(errand, posted);
    }
    const answer = this.#checked(errand, await this.#get(errand, request, credential));
    this.#getOnly.set(href, true);
    return answer;
  }

  #get(
    errand: Errand,
    { realm, service, scope }: TokenRequest,
    credential: Extract<Credential, { kind: 'password' }> | undefined,
  ): Promise<Answer> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    for (const one of scope.split(' ').filter(Boolean)) url.searchParams.append('scope', one);
    const authorization = credential && basicAuthorization(credential.username, credential.password);
    return this.#client.ask({
      method: 'GET',
      url,
      ...(authorization === undefined ? {} : { headers: { authorization } }),
      maxBytes: MAX_ANSWER_BYTES,
      errand,
    });
  }

  #post(errand: Errand, { realm, service, scope }: TokenRequest, credential: Credential): Promise<Answer> {
    const grant =
      credential.kind === 'identity'
        ? { grant_type: 'refresh_token', refresh_token: credential.token }
        : { grant_type: 'password', username: credential.username, password: credential.password };
    const optional = { ...(scope === '' ? {} : { scope }), ...(service === undefined ? {} : { service }) };
    const form = { ...grant, client_id: CLIENT_ID, ...optional };
    return this.#client.ask({ method: 'POST', url: realm, form, maxBytes: MAX_ANSWER_BYTES, errand });
  }

  #checked(errand: Errand, answer: Answer): Answer {
    if (answer.status === 200) return answer;
    throw failureOfStatus(errand, answer, this.#clock.now());
  }
}

function parseToken(errand: Errand, answer: Answer): { value: string; lifeS: number } {
  const { token, access_token, expires_in } = parseObject(answer.body);
  const value = typeof token === 'string' && token !== '' ? token : access_token;
  // Printable and without spaces, or it would break the header that it goes into.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw new OriginBadResponse({ ...errand, seen: 'status 200 without a token' });
  }
  const life = typeof expires_in === 'number' && Number.isFinite(expires_in) ? expires_in : DEFAULT_LIFE_S;
  return { value, lifeS: Math.min(MAX_LIFE_S, Math.max(MIN_LIFE_S, life)) };
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
