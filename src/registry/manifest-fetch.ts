import type { IncomingHttpHeaders } from 'node:http';
import { digestAlgorithm, digestOf, parseDigest, type Digest } from '../base/digest.ts';
import type { Authoriser } from './authoriser.ts';
import type { Answer, Client } from './client.ts';
import { codingOf } from './content-encoding.ts';
import { parseContentLength } from './content-range.ts';
import { OriginBadResponse } from './errors.ts';
import { failureOfStatus, type Errand } from './failures.ts';
import { MANIFEST_MAX_BYTES, parseManifest } from './manifest.ts';
import { bareMediaType, isHtmlType, isManifestType, isSchema1Type } from './media-types.ts';
import { isRedirect, mayCarryAuthorization, redirectTarget } from './redirects.ts';
import { retrying } from './retry.ts';
import type { Clock } from '../base/clock.ts';
import type { RequestCounter } from './request-counter.ts';

export type ManifestRef = { readonly tag: string } | { readonly digest: Digest };

/** What a HEAD told; what it did not is left out, a GET tells the rest. */
export interface ManifestHead {
  readonly digest?: Digest;
  /** In bytes. */
  readonly size?: number;
  readonly mediaType?: string;
}

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  /** Computed over the bytes. */
  readonly digest: Digest;
}

/** Answers to a HEAD of registries that know only GET. */
const NO_HEAD = new Set([400, 405, 406, 501]);

/** The manifests of one registry. */
export class ManifestFetch {
  readonly #upstream: string;
  readonly #baseUrl: URL;
  readonly #client: Client;
  readonly #authoriser: Authoriser;
  readonly #clock: Clock;
  readonly #counter: RequestCounter;
  readonly #onAnswer: ((headers: IncomingHttpHeaders) => void) | undefined;

  constructor(options: {
    upstream: string;
    baseUrl: URL;
    client: Client;
    authoriser: Authoriser;
    clock: Clock;
    counter: RequestCounter;
    /** Is given the headers of each answer. */
    onAnswer: ((headers: IncomingHttpHeaders) => void) | undefined;
  }) {
    this.#upstream = options.upstream;
    this.#baseUrl = options.baseUrl;
    this.#client = options.client;
    this.#authoriser = options.authoriser;
    this.#clock = options.clock;
    this.#counter = options.counter;
    this.#onAnswer = options.onAnswer;
  }

  /** Docker Hub does not count it as a pull. Empty where the registry does not do HEAD. */
  async head(repository: string, ref: ManifestRef, accept: string, signal?: AbortSignal): Promise<ManifestHead> {
    const errand = this.#errand(repository, ref);
    const { status, headers } = await this.#ask('HEAD', repository, ref, accept, errand, signal);
    if (NO_HEAD.has(status)) return {};
    const mediaType = this.#checkedType(errand, headers['content-type']);
    const said = headers['docker-content-digest'];
    const digest = typeof said === 'string' ? parseDigest(said) : undefined;
    const encoded = codingOf(headers['content-encoding']) !== undefined;
    const size = encoded ? undefined : parseContentLength(headers['content-length']);
    return {
      ...(digest ? { digest } : {}),
      ...(size === undefined || size === 0 ? {} : { size }),
      ...(mediaType === undefined ? {} : { mediaType }),
    };
  }

  /** Throws ORIGIN_BAD_RESPONSE for bytes that are not those of the digest asked for or said. */
  async get(repository: string, ref: ManifestRef, accept: string, signal?: AbortSignal): Promise<FetchedManifest> {
    const errand = this.#errand(repository, ref);
    const { headers, body: bytes } = await this.#ask('GET', repository, ref, accept, errand, signal);
    const bad = (seen: string) => new OriginBadResponse({ ...errand, seen });
    const contentType = this.#checkedType(errand, headers['content-type']);
    const mediaType = typeOf(bytes, contentType);
    if (mediaType === undefined) throw bad(`${contentType ?? 'something without a Content-Type'} that is no manifest`);
    if (isSchema1Type(mediaType)) throw bad('a manifest of the old schema 1, which has no digest of its own');
    const said = headers['docker-content-digest'];
    const expected = 'digest' in ref ? ref.digest : typeof said === 'string' ? parseDigest(said) : undefined;
    const digest = digestOf(bytes, expected ? digestAlgorithm(expected) : 'sha256');
    if (expected && digest !== expected) throw bad(`bytes that hash to ${digest}, not to ${expected}`);
    return { bytes, mediaType, digest };
  }

  /** With retries and redirects; throws for every status but 200, and a HEAD's refusals of the method. */
  #ask(
    method: 'GET' | 'HEAD',
    repository: string,
    ref: ManifestRef,
    accept: string,
    errand: Errand,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const reference = 'tag' in ref ? ref.tag : ref.digest;
    const start = new URL(`/v2/${repository}/manifests/${reference}`, this.#baseUrl);
    const once = async () => {
      const answer = await this.#follow(method, repository, start, accept, errand, signal);
      this.#counter.bytes(answer.received);
      this.#counter.flush();
      this.#onAnswer?.(answer.headers);
      if (answer.status === 200 || (method === 'HEAD' && NO_HEAD.has(answer.status))) return answer;
      throw failureOfStatus(errand, answer, this.#clock.now());
    };
    return retrying(once, this.#clock, signal);
  }

  async #follow(
    method: 'GET' | 'HEAD',
    repository: string,
    start: URL,
    accept: string,
    errand: Errand,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    let url = start;
    for (let hops = 0; ; hops += 1) {
      const target = url;
      const send = (authorization?: string) =>
        this.#client.ask({
          method,
          url: target,
          headers: { accept, ...(authorization === undefined ? {} : { authorization }) },
          maxBytes: MANIFEST_MAX_BYTES,
          errand,
          signal,
        });
      const answer = mayCarryAuthorization(this.#baseUrl, target)
        ? await this.#authoriser.authorised(repository, send, signal)
        : await send();
      if (!isRedirect(answer.status)) return answer;
      const upstreamIsPlain = this.#baseUrl.protocol === 'http:';
      url = redirectTarget(errand, target, answer.headers.location, { hops, upstreamIsPlain });
    }
  }

  #checkedType(errand: Errand, contentType: string | undefined): string | undefined {
    const mediaType = bareMediaType(contentType);
    if (isHtmlType(mediaType)) throw new OriginBadResponse({ ...errand, seen: 'a web page instead of a manifest' });
    return mediaType;
  }

  #errand(repository: string, ref: ManifestRef): Errand {
    const what = 'tag' in ref ? `${repository}:${ref.tag}` : `${repository}@${ref.digest}`;
    return { upstream: this.#upstream, step: `reading the manifest ${what}` };
  }
}

/** The manifest's own word where the header's is too general (`text/plain`, `application/json`): undefined if neither tells. */
function typeOf(bytes: Buffer, contentType: string | undefined): string | undefined {
  if (contentType?.startsWith('application/vnd.')) return contentType;
  const { mediaType, children } = parseManifest(bytes, contentType ?? '');
  if (isManifestType(mediaType)) return mediaType;
  // OCI manifests may leave their type out (image-spec: SHOULD); what they name tells.
  if (children.length === 0) return undefined;
  const kind = children.every((child) => child.kind === 'manifest') ? 'index' : 'manifest';
  return `application/vnd.oci.image.${kind}.v1+json`;
}
