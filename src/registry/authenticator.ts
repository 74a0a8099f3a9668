import type { IncomingHttpHeaders } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Authoriser, Refusable } from './authoriser.ts';
import { formatChallenge, parseChallenges, type Challenge } from './challenge.ts';
import type { Client } from './client.ts';
import { basicAuthorization, credentialId, type Credential, type CredentialSource } from './credentials.ts';
import { isOriginError } from './errors.ts';
import type { Errand } from './failures.ts';
import { tokenRealm } from './realm.ts';
import type { Tokens, TokenRequest } from './tokens.ts';

/** Rounds of one request through 401: with what is known, with a new token, with a renewed credential. */
const MAX_ROUNDS = 3;
const MAX_REPOSITORIES = 2000;
/** How long a registry that asked for nothing is taken to be open, in milliseconds. */
const OPEN_KEPT_MS = 300_000;
/** How long what the registry said at `/v2/` is passed on without asking it again, in milliseconds. */
const PING_KEPT_MS = 60_000;
const MAX_PING_BYTES = 64 * 1024;

/** Gets requests to one registry authorised: learns from its challenges what it wants, and gets that. */
export class Authenticator implements Authoriser {
  readonly #upstream: string;
  readonly #registry: URL;
  readonly #client: Client;
  readonly #tokens: Tokens;
  readonly #credentials: CredentialSource;
  readonly #isConfigured: (host: string) => boolean;
  /** What to ask the token endpoint for, by repository. */
  readonly #learnt = new LRUCache<string, TokenRequest>({ max: MAX_REPOSITORIES });
  /** As the registry last asked for it, whether or not a token was to be had. */
  readonly #challenged = new LRUCache<string, TokenRequest>({ max: MAX_REPOSITORIES });
  readonly #clock: Clock;
  #pinged: { readonly request: TokenRequest | undefined; readonly until: number } = {
    request: undefined,
    until: -Infinity,
  };
  #wantsBasic = false;
  #openUntil = -Infinity;

  constructor(options: {
    upstream: string;
    registry: URL;
    client: Client;
    tokens: Tokens;
    credentials: CredentialSource;
    clock: Clock;
    /** Whether the configuration names a host as one that may give tokens. */
    isConfigured: (host: string) => boolean;
  }) {
    this.#upstream = options.upstream;
    this.#registry = options.registry;
    this.#client = options.client;
    this.#tokens = options.tokens;
    this.#credentials = options.credentials;
    this.#clock = options.clock;
    this.#isConfigured = options.isConfigured;
  }

  async authorised<T extends Refusable>(
    repository: string,
    send: (authorization: string | undefined) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    let authorization = await unlessAborted(this.#known(repository), signal);
    for (let round = 1; ; round += 1) {
      const answer = await send(authorization);
      // A token that was got for this very request and is refused: another would be no better.
      const spent = round === MAX_ROUNDS || (round > 1 && authorization?.startsWith('Bearer ') === true);
      if (spent || !isRefusal(answer.status, authorization)) return answer;
      const next = await unlessAborted(this.#next(repository, answer.headers, authorization), signal);
      if (next === undefined || next === authorization) return answer;
      authorization = next;
    }
  }

  /** A ping tells. */
  async authorization(repository: string, signal?: AbortSignal): Promise<string | undefined> {
    const known = await unlessAborted(this.#known(repository), signal);
    if (known !== undefined || this.#clock.monotonic() < this.#openUntil) return known;
    const answer = await this.#ping(signal);
    if (answer.status === 401) return this.#next(repository, answer.headers, undefined);
    this.#openUntil = this.#clock.monotonic() + OPEN_KEPT_MS;
    return undefined;
  }

  async renewed(
    repository: string,
    { status, headers }: Refusable,
    sent: string | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    if (!isRefusal(status, sent)) return undefined;
    const next = await unlessAborted(this.#next(repository, headers, sent), signal);
    return next === sent ? undefined : next;
  }

  /**
   * What the registry would have a client log in with, as it said it last for that repository (undefined: what it says at
   * `/v2/`), in the form of `WWW-Authenticate`: `Bearer` only, for a password would come to us. Undefined: it says nothing of the
   * kind, or names a token service that is not its own.
   */
  async challenge(repository: string | undefined, signal?: AbortSignal): Promise<string | undefined> {
    const request = repository === undefined ? await this.#askedAtPing(signal) : this.#challenged.get(repository);
    return request && formatChallenge(request);
  }

  async #askedAtPing(signal: AbortSignal | undefined): Promise<TokenRequest | undefined> {
    if (this.#clock.monotonic() < this.#pinged.until) return this.#pinged.request;
    const { headers } = await this.#ping(signal);
    const bearer = parseChallenges(headers['www-authenticate']).find(({ scheme }) => scheme === 'bearer');
    const request = bearer && { ...this.#requestOf('asking how to log in', bearer), scope: '' };
    this.#pinged = { request, until: this.#clock.monotonic() + PING_KEPT_MS };
    return request;
  }

  async #known(repository: string): Promise<string | undefined> {
    if (this.#wantsBasic) return basicOf(await this.#credentials.read());
    const request = this.#learnt.get(repository);
    return request && bearer(await this.#token(request, undefined));
  }

  /** What to send after a refusal; undefined: there is nothing better. */
  async #next(repository: string, headers: IncomingHttpHeaders, sent: string | undefined): Promise<string | undefined> {
    let challenges = parseChallenges(headers['www-authenticate']);
    // gcr.io may answer 401 without a challenge on the real URL, and tells at `/v2/` only (containers/image).
    if (challenges.length === 0) challenges = parseChallenges((await this.#ping()).headers['www-authenticate']);
    const bearerChallenge = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearerChallenge) return this.#answerBearer(repository, bearerChallenge, sent);
    const wantsBasic = challenges.some(({ scheme }) => scheme === 'basic') || sent?.startsWith('Basic ') === true;
    if (!wantsBasic) return undefined;
    const known = await this.#credentials.read();
    // Another request may have had it renewed meanwhile.
    const isRefused = known !== undefined && basicOf(known) === sent;
    const credential = isRefused ? await this.#credentials.read(known) : known;
    this.#wantsBasic = credential !== undefined;
    return basicOf(credential);
  }

  async #answerBearer(repository: string, challenge: Challenge, sent: string | undefined): Promise<string> {
    const request = {
      ...this.#requestOf(`getting a token for ${repository}`, challenge),
      scope: pullScope(repository, challenge.parameters.get('scope')),
    };
    this.#challenged.set(repository, request);
    const token = await this.#token(request, sent?.replace(/^Bearer /, ''));
    this.#learnt.set(repository, request);
    return bearer(token);
  }

  #requestOf(step: string, { parameters }: Challenge): Omit<TokenRequest, 'scope'> {
    const errand: Errand = { upstream: this.#upstream, step };
    const realm = tokenRealm(errand, parameters.get('realm'), this.#registry, this.#isConfigured);
    return { realm, service: parameters.get('service') };
  }

  async #token(request: TokenRequest, refused: string | undefined): Promise<string> {
    const credential = await this.#credentials.read();
    try {
      return await this.#tokens.get(request, credential, refused);
    } catch (error) {
      if (!credential || !isOriginError(error) || error.answer !== 401) throw error;
      const renewed = await this.#credentials.read(credential);
      if (credentialId(renewed) === credentialId(credential)) throw error;
      return await this.#tokens.get(request, renewed);
    }
  }

  #ping(signal?: AbortSignal) {
    return this.#client.ask({
      method: 'GET',
      url: new URL('/v2/', this.#registry),
      maxBytes: MAX_PING_BYTES,
      errand: { upstream: this.#upstream, step: 'asking how to log in' },
      signal,
    });
  }
}

/** ECR answers 403 to a password that has expired (it is good for 12 hours). */
function isRefusal(status: number, authorization: string | undefined): boolean {
  return status === 401 || (status === 403 && authorization?.startsWith('Basic ') === true);
}

/** The challenge's scope, for some registries name a repository otherwise than its clients do; never for more than pulling. */
function pullScope(repository: string, scope: string | undefined): string {
  const asked = (scope ?? '')
    .split(/\s+/)
    .map((one) => /^(repository(?:\([a-z]+\))?):([^\s]+):[a-z*,]+$/.exec(one))
    .flatMap((match) => (match ? [`${match[1]}:${match[2]}:pull`] : []));
  return asked.length > 0 ? asked.join(' ') : `repository:${repository}:pull`;
}

function bearer(token: string): string {
  return `Bearer ${token}`;
}

/** An identity token opens nothing but a token endpoint. */
function basicOf(credential: Credential | undefined): string | undefined {
  return credential?.kind === 'password' ? basicAuthorization(credential.username, credential.password) : undefined;
}

/** The shared work goes on for others when one asker leaves. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    stop();
  }
}
