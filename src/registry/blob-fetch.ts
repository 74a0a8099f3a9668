import type { ByteRange, ByteSink } from '../http/byte-sink.ts';
import type { Digest } from '../base/digest.ts';
import type { Authoriser } from './authoriser.ts';
import { BlobBody, type ReadProgress } from './blob-body.ts';
import { isOriginError, OriginBadRange, OriginBadResponse, OriginCut, type OriginError } from './errors.ts';
import { failureOfStatus, type Errand } from './failures.ts';
import { httpRead, type ReadContext, type ReadOutcome, type ResponseHead } from './http-read.ts';
import { isRedirect, mayCarryAuthorization, redirectTarget } from './redirects.ts';

/** One blob or manifest at the origin; fits the download's port for sources. */
export interface OriginBlob {
  /** `docker.io/library/app` */
  readonly name: string;
  /**
   * Reads a range into the sink and resolves when all of it, as far as the blob goes, has been written. Rejects with an
   * OriginError, with what the sink threw, or with the signal's reason; what was written before is good.
   */
  read(range: ByteRange, sink: ByteSink, signal: AbortSignal): Promise<void>;
}

/** An idle connection may be closed just as it is used again: tried again at once, and on another, so often. */
const MAX_IMMEDIATE_RETRIES = 2;
/** What a CDN answers to a signed URL whose time is over. */
const EXPIRED = new Set([400, 401, 403, 404, 410]);

export interface BlobOrigin {
  /** Canonical host. */
  readonly upstream: string;
  readonly baseUrl: URL;
  readonly authoriser: Authoriser;
  readonly reading: ReadContext;
  readonly now: () => number;
}

/** A file at a URL of its own, read as if it were a blob. */
export interface FilePlace {
  /** Names it without secrets, its server first. */
  readonly name: string;
  readonly url: URL;
  /** For the very server of the URL, as a login is. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** See `ReadProgress`. */
  readonly check: (head: ResponseHead) => void;
  /** Throws where a redirect must not lead. */
  readonly mayRedirect: (errand: Errand, target: URL) => void;
  readonly todoOf: Errand['todoOf'];
}

/**
 * A blob's bytes from a registry. Where a redirect led is kept, so that the parts of one blob cost the registry one
 * question; when its signature has expired the registry is asked again. After a wrong 206 the whole is asked for.
 */
export class RegistryBlob implements OriginBlob {
  readonly name: string;
  readonly #origin: BlobOrigin;
  readonly #repository: string;
  readonly #file: FilePlace | undefined;
  readonly #url: URL;
  #kept: URL | undefined;
  #rangesWork = true;

  constructor(origin: BlobOrigin, at: { readonly repository: string; readonly digest: Digest } | FilePlace) {
    this.#origin = origin;
    if ('url' in at) {
      this.name = at.name;
      this.#repository = '';
      this.#file = at;
      this.#url = at.url;
    } else {
      this.name = `${origin.upstream}/${at.repository}`;
      this.#repository = at.repository;
      this.#url = new URL(`/v2/${at.repository}/blobs/${at.digest}`, origin.baseUrl);
    }
  }

  async read(range: ByteRange, sink: ByteSink, signal: AbortSignal): Promise<void> {
    const asFile = this.#file?.check;
    const progress: ReadProgress = { range, sink, position: range.start, total: undefined, headGiven: false, asFile };
    for (;;) {
      const before = progress.position;
      const status = await this.#request(progress, signal);
      // A registry may give less than the range that was asked for (RFC 9110, 15.3.7): the rest is asked for next.
      const isPart = status === 206 && progress.position > before && progress.total !== undefined;
      if (!isPart || progress.position >= Math.min(range.end ?? progress.total!, progress.total!)) return;
    }
  }

  /** One request, through its redirects. Returns the status of the answer that was taken. */
  async #request(progress: ReadProgress, signal: AbortSignal): Promise<number> {
    const kept = this.#kept;
    let url = kept ?? this.#url;
    for (let hops = 0; ; hops += 1) {
      const errand = this.#errand(url);
      const { outcome, taken } = await this.#hop(url, progress, errand, signal);
      if (taken) {
        this.#kept = url === this.#url ? undefined : url;
        return outcome.status;
      }
      if (isRedirect(outcome.status)) {
        const upstreamIsPlain = this.#origin.baseUrl.protocol === 'http:';
        url = redirectTarget(errand, url, outcome.headers.location, { hops, upstreamIsPlain });
        this.#file?.mayRedirect(errand, url);
      } else if (url === kept && EXPIRED.has(outcome.status)) {
        this.#kept = undefined;
        url = this.#url;
      } else if (outcome.status === 416 && endsAt(outcome, progress)) return outcome.status;
      else throw this.#failure(url, errand, outcome);
    }
  }

  async #hop(
    url: URL,
    progress: ReadProgress,
    errand: Errand,
    signal: AbortSignal,
  ): Promise<{ outcome: ReadOutcome; taken: boolean }> {
    const send = (authorization?: string) => this.#send(url, authorization, progress, errand, signal);
    try {
      return mayCarryAuthorization(this.#origin.baseUrl, url)
        ? await this.#origin.authoriser.authorised(this.#repository, send, signal).then(toHop)
        : toHop(await send());
    } catch (error) {
      // Whatever stood at the end of the redirect is not relied on a second time.
      this.#kept = undefined;
      if (isOriginError(error) && !error.final && error.code === OriginBadRange.code) this.#rangesWork = false;
      throw error;
    }
  }

  async #send(
    url: URL,
    authorization: string | undefined,
    progress: ReadProgress,
    errand: Errand,
    signal: AbortSignal,
  ): Promise<ReadOutcome> {
    const range = this.#rangesWork ? rangeHeader(progress) : undefined;
    const headers = {
      ...(mayCarryAuthorization(this.#origin.baseUrl, url) && this.#file?.headers),
      ...(range === undefined ? {} : { range }),
      ...(authorization === undefined ? {} : { authorization }),
    };
    for (let tries = 0; ; tries += 1) {
      const body = new BlobBody(progress, range !== undefined, errand, signal);
      try {
        const outcome = await httpRead(this.#origin.reading, { url, headers, errand, signal }, body);
        await body.end();
        return outcome;
      } catch (error) {
        body.close();
        const closed = isOriginError(error) && error.code === OriginCut.code && !body.answered;
        if (!closed || tries === MAX_IMMEDIATE_RETRIES) throw error;
      }
    }
  }

  /** What a CDN says is no word of the registry on who may read what. */
  #failure(url: URL, errand: Errand, { status, headers, words, secrets }: ReadOutcome): OriginError {
    const failure = failureOfStatus(errand, { status, headers, body: words, secrets }, this.#origin.now());
    if (this.#file || mayCarryAuthorization(this.#origin.baseUrl, url) || !failure.final) return failure;
    return new OriginBadResponse(failure.failure);
  }

  #errand(url: URL): Errand {
    const from = url.host === this.#url.host ? '' : ` from ${url.host}`;
    const { upstream } = this.#origin;
    if (this.#file) return { upstream, step: `reading a file${from}`, todoOf: this.#file.todoOf };
    return { upstream, step: `reading a blob of ${this.#repository}${from}` };
  }
}

function toHop(outcome: ReadOutcome): { outcome: ReadOutcome; taken: boolean } {
  return { outcome, taken: outcome.status === 200 || outcome.status === 206 };
}

/** The whole of a blob is one plain GET, which every cache before a registry knows. */
function rangeHeader({ position, range }: ReadProgress): string | undefined {
  if (position === 0 && range.end === undefined) return undefined;
  return `bytes=${position}-${range.end === undefined ? '' : range.end - 1}`;
}

/** A blob of unknown size that was read up to its very end before: nothing is left to read. */
function endsAt(outcome: ReadOutcome, progress: ReadProgress): boolean {
  const total = /^bytes \*\/(\d{1,15})$/.exec(outcome.headers['content-range'] ?? '')?.[1];
  if (total === undefined || Number(total) !== progress.position) return false;
  if (!progress.headGiven) progress.sink.head({ total: Number(total), ranges: true });
  return true;
}
