import type { Agent } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import type { ByteRange, ByteSink } from '../http/byte-sink.ts';
import type { GatedTransport } from '../http/gated-transport.ts';
import { Authenticator } from './authenticator.ts';
import { confirmBlob } from './blob-confirm.ts';
import { RegistryBlob, type BlobOrigin, type OriginBlob } from './blob-fetch.ts';
import { Client } from './client.ts';
import { Credentials, type CredentialSettings } from './credentials.ts';
import type { OriginLimits } from './limits.ts';
import { ManifestFetch, type FetchedManifest, type ManifestHead, type ManifestRef } from './manifest-fetch.ts';
import { MANIFEST_ACCEPT } from './media-types.ts';
import { RegistryProbe } from './probe.ts';
import type { RequestCounter } from './request-counter.ts';
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
}

/** One origin registry. Its methods throw OriginErrors (errors.ts) and the reason of an aborted signal. */
export class Upstream {
  /** Canonical: `docker.io`. */
  readonly host: string;
  /** The key in the configuration that it was found by, a pattern maybe: the metrics' label. */
  readonly key: string;
  readonly baseUrl: URL;
  /** A configured credential is used for it: what it gives is for those only who may use that. */
  readonly usesCredentials: boolean;
  readonly #transport: GatedTransport;
  readonly #client: Client;
  readonly #authenticator: Authenticator;
  readonly #manifests: ManifestFetch;
  readonly #blobs: BlobOrigin;
  readonly #makeProbe: () => RegistryProbe;

  constructor(options: UpstreamOptions) {
    const { host, baseUrl, transport, limits, clock, counter } = options;
    this.host = host;
    this.key = options.key;
    this.baseUrl = baseUrl;
    this.#transport = transport;
    const credentials = new Credentials(host, options.credentials, clock);
    this.usesCredentials = credentials.configured;
    this.#client = new Client(transport, limits, counter);
    const asking = {
      upstream: host,
      registry: baseUrl,
      client: this.#client,
      tokens: new Tokens(this.#client, clock, host),
      credentials,
      clock,
      isConfigured: options.opensHost,
    };
    const authenticator = new Authenticator(asking);
    this.#authenticator = authenticator;
    this.#makeProbe = () => new RegistryProbe({ ...asking, authenticator });
    this.#manifests = new ManifestFetch({
      upstream: host,
      baseUrl,
      client: this.#client,
      authenticator,
      clock,
      counter,
    });
    const reading = { reader: transport.reader, limits, clock, counter };
    this.#blobs = { upstream: host, baseUrl, authenticator, reading, now: () => clock.now() };
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
    return new RegistryBlob(this.#blobs, repository, digest);
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
    const authorization = await this.#authenticator.authorization(repository, signal);
    const agent = this.#transport.agent(this.baseUrl.protocol);
    return { target: this.baseUrl, agent, headers: authorization === undefined ? {} : { authorization } };
  }
}
