import type { Agent } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import type { ByteRange, ByteSink } from '../http/byte-sink.ts';
import type { GatedTransport } from '../http/gated-transport.ts';
import { LRUCache } from 'lru-cache';
import { Authenticator } from './authenticator.ts';
import type { Authoriser, Refusable } from './authoriser.ts';
import { confirmBlob } from './blob-confirm.ts';
import { RegistryBlob, type BlobOrigin, type OriginBlob } from './blob-fetch.ts';
import { GivenPassword, GivenToken, parseClientCredential, type ClientCredential } from './client-credential.ts';
import { Client } from './client.ts';
import { Credentials, type CredentialSettings, type CredentialSource } from './credentials.ts';
import type { OriginLimits } from './limits.ts';
import { ManifestFetch, type FetchedManifest, type ManifestHead, type ManifestRef } from './manifest-fetch.ts';
import { MANIFEST_ACCEPT } from './media-types.ts';
import { RegistryProbe } from './probe.ts';
import type { RateLimits } from './rate-limits.ts';
import type { RequestCounter } from './request-counter.ts';
import { claimsOf, type TokenClaims } from './token-claims.ts';
import { Tokens } from './tokens.ts';

export type { OriginBlob } from './blob-fetch.ts';
export type { FetchedManifest, ManifestHead, ManifestRef } from './manifest-fetch.ts';

export interface UpstreamOptions {
  readonly host: string;
  readonly key: string;
  readonly baseUrl: URL;
  readonly credentials: CredentialSettings;
  /** Whether the configuration names a host among those that the gate opens. */
  readonly opensHost: (host: string) => boolean;
  readonly transport: GatedTransport;
  readonly limits: OriginLimits;
  readonly clock: Clock;
  readonly counter: RequestCounter;
  readonly rateLimits: RateLimits;
}

/** Clients with a credential of their own, each weighing 1 (a token: 1 kB), or `LOGIN_WEIGHT` (a password: 100 kB of tables). */
const MAX_CLIENTS = 1000;
const LOGIN_WEIGHT = 10;
/** How long one is remembered after its last request, in milliseconds. */
const CLIENT_KEPT_MS = 5 * 60_000;

/** What a client's own credential says of the client. Nothing of it is a secret, nothing of it is proved. */
export interface ClientFacts extends TokenClaims {
  /** As it logs in with a password. */
  readonly user?: string;
}

/** One origin registry. Its methods throw OriginErrors (errors.ts) and the reason of an aborted signal. */
export class Upstream {
  /** Canonical: `docker.io`. */
  readonly host: string;
  /** The key in the configuration that it was found by, a pattern maybe: the metrics' label. */
  readonly key: string;
  readonly baseUrl: URL;
  /** What is passed through counts too. */
  readonly counter: RequestCounter;
  /** A configured credential is used for it: what it gives is for those only who may use that. */
  readonly usesCredentials: boolean;
  /** A keyed hash of the client's own credential by which it is asked; undefined: anonymously, or by the configured one. */
  readonly principal: string | undefined;
  /** Who the client is by its own credential, and how long that is good; empty where it does not say. */
  readonly client: ClientFacts;
  readonly #options: UpstreamOptions;
  #clients: LRUCache<string, Upstream> | undefined;
  readonly #configured: Credentials;
  readonly #transport: GatedTransport;
  readonly #client: Client;
  /** How a credential that is kept here, or none, becomes what the registry takes. */
  readonly #login: {
    readonly tokens: Tokens;
    readonly credentials: CredentialSource;
    readonly authenticator: Authenticator;
  };
  readonly #authoriser: Authoriser;
  readonly #manifests: ManifestFetch;
  readonly #blobs: BlobOrigin;
  readonly #makeProbe: () => RegistryProbe;

  /** It gets tokens by itself, and keeps them. */
  private get hasOwnLogin(): boolean {
    return this.#authoriser === this.#login.authenticator;
  }

  /** `client`: with what a client sent, `of` an upstream that is there; what is kept by repository is shared with it where it can be. */
  constructor(options: UpstreamOptions, client?: { readonly credential: ClientCredential; readonly of: Upstream }) {
    const { host, baseUrl, transport, limits, clock, counter } = options;
    const { credential, of } = client ?? {};
    this.#options = options;
    this.principal = credential?.principal;
    this.client = credential ? factsOf(credential) : {};
    this.host = host;
    this.key = options.key;
    this.baseUrl = baseUrl;
    this.counter = counter;
    this.#transport = transport;
    this.#client = of ? of.#client : new Client(transport, limits, counter);
    const configured = new Credentials(host, options.credentials, clock);
    this.#configured = configured;
    this.usesCredentials = client !== undefined || configured.configured;
    const asking = {
      upstream: host,
      registry: baseUrl,
      client: this.#client,
      clock,
      isConfigured: options.opensHost,
    };
    // A token is sent as it is: thousands of them may come, and none needs tables of its own.
    if (of && credential?.kind === 'bearer') {
      this.#login = of.#login;
      this.#authoriser = new GivenToken(credential.authorization);
    } else {
      const tokens = new Tokens(this.#client, clock, host);
      const credentials = credential?.kind === 'basic' ? new GivenPassword(credential.credential) : configured;
      const authenticator = new Authenticator({ ...asking, tokens, credentials });
      this.#login = { tokens, credentials, authenticator };
      this.#authoriser = authenticator;
    }
    const authoriser = this.#authoriser;
    this.#makeProbe = () => new RegistryProbe({ ...asking, ...this.#login });
    this.#manifests = new ManifestFetch({
      upstream: host,
      baseUrl,
      client: this.#client,
      authoriser,
      clock,
      counter,
      // What a client is allowed by its own credential says nothing of this node.
      onAnswer: client ? undefined : (headers) => options.rateLimits.answered(options.key, headers),
    });
    const reading = { reader: transport.reader, limits, clock, counter };
    this.#blobs = { upstream: host, baseUrl, authoriser, reading, now: () => clock.now() };
  }

  /**
   * The same registry, asked with what a client sent as its `Authorization`; undefined where that is nothing of use. It is kept
   * for minutes after its last use.
   */
  forClient(authorization: string): Upstream | undefined {
    const credential = parseClientCredential(authorization);
    if (!credential) return undefined;
    this.#clients ??= new LRUCache({
      max: MAX_CLIENTS,
      maxSize: MAX_CLIENTS,
      sizeCalculation: ({ hasOwnLogin }) => (hasOwnLogin ? LOGIN_WEIGHT : 1),
      ttl: CLIENT_KEPT_MS,
      updateAgeOnGet: true,
      ttlAutopurge: true,
    });
    const known = this.#clients.get(credential.principal);
    if (known) return known;
    const upstream = new Upstream(this.#options, { credential, of: this });
    this.#clients.set(credential.principal, upstream);
    return upstream;
  }

  /** The configured credential is asked for anew at its next use, where a helper's answer was kept. */
  forgetCredential(): void {
    this.#configured.forget();
  }

  /** See `Authenticator.challenge`. Throws OriginErrors. */
  challenge(repository: string | undefined, signal?: AbortSignal): Promise<string | undefined> {
    return this.#login.authenticator.challenge(repository, signal);
  }

  /** `accept`: media-types.ts. Empty where the registry does not say; then `getManifest` does. */
  headManifest(repository: string, ref: ManifestRef, accept: string, signal?: AbortSignal): Promise<ManifestHead> {
    return this.#manifests.head(repository, ref, accept, signal);
  }

  /** At most 4 MiB; checked against the digest asked for, or that the registry says. */
  getManifest(repository: string, ref: ManifestRef, accept: string, signal?: AbortSignal): Promise<FetchedManifest> {
    return this.#manifests.get(repository, ref, accept, signal);
  }

  /** Resolves when the registry has the blob for us; `size` in bytes where it says. */
  confirmBlob(repository: string, digest: Digest, signal?: AbortSignal): Promise<{ size?: number }> {
    return confirmBlob(this.#blobs, this.#client, repository, digest, signal);
  }

  /** A blob to read; where the registry redirects to is kept as long as the object is. */
  blob(repository: string, digest: Digest): OriginBlob {
    return new RegistryBlob(this.#blobs, { repository, digest });
  }

  /** A manifest as if it were a blob. */
  manifest(repository: string, digest: Digest): OriginBlob {
    const name = `${this.host}/${repository}`;
    const read = async (range: ByteRange, sink: ByteSink, signal: AbortSignal) => {
      const { bytes, mediaType } = await this.getManifest(repository, { digest }, MANIFEST_ACCEPT, signal);
      sink.head({ total: bytes.length, mediaType, ranges: true });
      const wanted = bytes.subarray(range.start, range.end);
      if (wanted.length > 0) sink.write(wanted);
    };
    return { name, read };
  }

  /** Questions of somebody who wants to know whether pulls can work, and if not, which step fails. */
  probe(): RegistryProbe {
    return this.#makeProbe();
  }

  /** For what is passed through as it is: where to, by which agent (behind the gate), and the headers that it needs. */
  async passThrough(
    repository: string,
    signal?: AbortSignal,
  ): Promise<{ target: URL; agent: Agent; headers: Record<string, string> }> {
    const authorization = await this.#authoriser.authorization(repository, signal);
    const agent = this.#transport.agent(this.baseUrl.protocol);
    return { target: this.baseUrl, agent, headers: authorization === undefined ? {} : { authorization } };
  }

  /** The headers for another try, where the registry refused what `passThrough` gave; undefined: there is nothing better. */
  async passThroughAgain(
    repository: string,
    refused: Refusable,
    sent: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<Record<string, string> | undefined> {
    const authorization = await this.#authoriser.renewed(repository, refused, sent['authorization'], signal);
    return authorization === undefined ? undefined : { authorization };
  }
}

function factsOf(credential: ClientCredential): ClientFacts {
  if (credential.kind === 'bearer') return claimsOf(credential.token);
  const { credential: login } = credential;
  return login.kind === 'password' ? { user: login.username } : {};
}
