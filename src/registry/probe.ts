import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { Authenticator } from './authenticator.ts';
import { parseChallenges, type Challenge } from './challenge.ts';
import type { Answer, Client } from './client.ts';
import { basicAuthorization, type CredentialSource } from './credentials.ts';
import { OriginUnauthorized } from './errors.ts';
import { failureOfStatus } from './failures.ts';
import { MANIFEST_ACCEPT } from './media-types.ts';
import { tokenRealm } from './realm.ts';
import type { Tokens } from './tokens.ts';

const MAX_BYTES = 64 * 1024;
/** Docker Hub's own for looking at the limit; a HEAD of it is not counted (docs.docker.com, "Docker Hub pull usage and limits"). */
const LIMIT_REPOSITORY = 'ratelimitpreview/test';

/** What `GET /v2/` came back with. */
export interface Ping {
  readonly status: number;
  readonly challenges: readonly Challenge[];
  readonly contentType: string | undefined;
}

/** How somebody without an account, or with the configured one, gets in. */
export interface LogIn {
  readonly by: 'bearer' | 'basic';
  /** Host of the token service; undefined for `basic`. */
  readonly realm: string | undefined;
  /** What the configured credential is; it itself stays here. */
  readonly credential: 'none' | 'password' | 'identity token';
}

/** What a registry says of the pulls that it still allows. */
export interface RateLimit {
  readonly limit: number | undefined;
  readonly remaining: number;
  /** In seconds. */
  readonly windowS: number | undefined;
}

interface ProbeDeps {
  readonly upstream: string;
  readonly registry: URL;
  readonly client: Client;
  readonly tokens: Tokens;
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  /** Whether the configuration names a host as one that may give tokens. */
  readonly isConfigured: (host: string) => boolean;
  readonly authenticator: Authenticator;
}

/** One registry's answers to the questions that come before a pull, step by step. All methods throw OriginErrors. */
export class RegistryProbe {
  readonly #deps: ProbeDeps;

  constructor(deps: ProbeDeps) {
    this.#deps = deps;
  }

  /** Any status is an answer. */
  async ping(signal?: AbortSignal): Promise<Ping> {
    const { status, headers } = await this.#enter(undefined, signal);
    const challenges = parseChallenges(headers['www-authenticate']);
    return { status, challenges, contentType: headers['content-type'] };
  }

  /**
   * What `docker login` does: a token for no repository, then `GET /v2/` with it; or that with the password itself. With a
   * credential configured, what is no 200 in the end is thrown: ORIGIN_UNAUTHORIZED, ORIGIN_DENIED and so on.
   */
  async logIn(challenges: readonly Challenge[], signal?: AbortSignal): Promise<LogIn | undefined> {
    const { upstream, registry, credentials, tokens, isConfigured, clock } = this.#deps;
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const basic = challenges.some(({ scheme }) => scheme === 'basic');
    if (!bearer && !basic) return undefined;
    const credential = await credentials.read();
    const kind = !credential ? 'none' : credential.kind === 'identity' ? 'identity token' : 'password';
    const errand = { upstream, step: 'logging in' };
    if (!bearer) {
      const found: LogIn = { by: 'basic', realm: undefined, credential: kind };
      if (!credential) return found;
      if (credential.kind === 'identity') {
        throw new OriginUnauthorized({
          ...errand,
          seen: 'it wants a password, and the credential is an identity token',
        });
      }
      const answer = await this.#enter(basicAuthorization(credential.username, credential.password), signal);
      if (answer.status !== 200) throw failureOfStatus(errand, answer, clock.now());
      return found;
    }
    const realm = tokenRealm(errand, bearer.parameters.get('realm'), registry, isConfigured);
    const token = await tokens.get({ realm, service: bearer.parameters.get('service'), scope: '' }, credential);
    if (credential) {
      const answer = await this.#enter(`Bearer ${token}`, signal);
      if (answer.status === 401 || answer.status >= 500) throw failureOfStatus(errand, answer, clock.now());
    }
    return { by: 'bearer', realm: realm.host, credential: kind };
  }

  /** What Docker Hub tells; undefined: it tells nothing (no limit for this account or address). Spends no pull. */
  async rateLimit(signal?: AbortSignal): Promise<RateLimit | undefined> {
    const { upstream, registry, client, authenticator, clock } = this.#deps;
    const errand = { upstream, step: 'asking for the rate limit' };
    const url = new URL(`/v2/${LIMIT_REPOSITORY}/manifests/latest`, registry);
    const answer = await authenticator.authorised(
      LIMIT_REPOSITORY,
      (authorization) =>
        client.ask({
          method: 'HEAD',
          url,
          headers: { accept: MANIFEST_ACCEPT, ...(authorization === undefined ? {} : { authorization }) },
          maxBytes: MAX_BYTES,
          errand,
          signal,
        }),
      signal,
    );
    const told = parseRateLimit(answer.headers);
    if (!told && answer.status !== 200) throw failureOfStatus(errand, answer, clock.now());
    return told;
  }

  #enter(authorization: string | undefined, signal: AbortSignal | undefined): Promise<Answer> {
    const { upstream, registry, client } = this.#deps;
    return client.ask({
      method: 'GET',
      url: new URL('/v2/', registry),
      ...(authorization === undefined ? {} : { headers: { authorization } }),
      maxBytes: MAX_BYTES,
      errand: { upstream, step: 'asking for /v2/' },
      signal,
    });
  }
}

/** `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 76;w=21600` (Docker Hub). */
export function parseRateLimit(headers: IncomingHttpHeaders): RateLimit | undefined {
  const remaining = quantity(headers['ratelimit-remaining']);
  if (!remaining) return undefined;
  const limit = quantity(headers['ratelimit-limit']);
  return { limit: limit?.count, remaining: remaining.count, windowS: remaining.windowS ?? limit?.windowS };
}

function quantity(header: string | string[] | undefined): { count: number; windowS: number | undefined } | undefined {
  const match = /^\s*(\d{1,9})\s*(?:;\s*w=(\d{1,9}))?/.exec(String(header ?? ''));
  if (!match) return undefined;
  return { count: Number(match[1]), windowS: match[2] === undefined ? undefined : Number(match[2]) };
}
