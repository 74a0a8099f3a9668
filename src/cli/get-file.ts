import { Type, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Client } from 'undici';
import { encodeFileHeaders, FILE_HEADERS, type FileHeaders } from '../files/file-headers.ts';
import { backoffMs, type Backoff } from '../base/backoff.ts';
import { systemClock } from '../base/clock.ts';
import { codeOf, describeError } from '../base/errors.ts';
import { MiB } from '../base/units.ts';
import {
  GetBroken,
  GetNotTheSame,
  GetNotWritten,
  GetStreamBroken,
  GetWrongDigest,
  ServiceRefused,
  ServiceUnreachable,
} from './errors.ts';
import type { Part } from './part-file.ts';
import type { BarSource } from './progress.ts';

/** Tries go on for so long without a byte: a proxy that is started again is back by then. */
const GIVE_UP_MS = 60_000;
const RETRY: Backoff = { firstMs: 100, capMs: 3000 };
/** So often it may begin from the front. */
const MAX_BEGINNINGS = 5;
/** The proxy asks the file's server, and its peers, before it answers. */
const ANSWER_MS = 120_000;
const STALL_MS = 120_000;
/** Written at once. */
const WRITE_BYTES = MiB;
/** Of an answer that is no file. */
const MAX_WORDS_BYTES = 64 * 1024;
/** How often it is looked at how the file comes. */
const LOOK_MS = 250;
/** After the last byte the proxy may take a moment to have counted it. */
const LAST_LOOKS = 20;
/** What trying again does not mend. */
const FINAL =
  /^(?:FILE_(?:URL_INVALID|DIGEST_INVALID|HEADER_INVALID|NOT_ALLOWED|BAD_REQUEST|DIGEST_MISMATCH)|ORIGIN_(?:UNAUTHORIZED|DENIED|NOT_FOUND|TLS|REDIRECT_REFUSED|BAD_RESPONSE)|ADDRESS_REFUSED|BROWSER_REFUSED|HOST_REFUSED)$/;

const Refusal = Type.Object({ code: Type.String(), message: Type.String(), todo: Type.Optional(Type.String()) });
const TransferAnswer = Type.Object({
  state: Type.String(),
  sources: Type.Object({ store: Type.Number(), peers: Type.Number(), origin: Type.Number() }),
  error: Type.Union([Refusal, Type.Null()]),
});

export type Sources = Record<BarSource, number>;

/** How a file comes. Bytes. */
export interface Coming {
  size: number | undefined;
  /** What is here, an earlier try's part included. */
  received: number;
  /** What was there of an earlier try. */
  kept: number;
  /** What this command has had, by where its proxy had it from. */
  sources: Sources;
  /** Whether other nodes take part. */
  isShared: boolean;
}

export interface GotFile extends Coming {
  readonly sha256: string;
}

export interface GetOptions {
  /** The proxy's API. */
  readonly api: string;
  readonly url: string;
  /** What messages call the place where it is to be. */
  readonly file: string;
  readonly open: () => Promise<Part>;
  /** For its server. */
  readonly headers?: FileHeaders | undefined;
  /** In hex. */
  readonly sha256: string | undefined;
  readonly signal: AbortSignal;
  /** Whether somebody looks at `coming`. */
  readonly isWatched: boolean;
}

/** Fetches one file through the node's proxy, again and again where it breaks off, and puts it in its place when it is whole and right. */
export class FileGetter {
  readonly coming: Coming = {
    size: undefined,
    received: 0,
    kept: 0,
    sources: { store: 0, peers: 0, origin: 0 },
    isShared: true,
  };
  readonly #options: GetOptions;
  readonly #client: Client;
  /** Sources of the answers that are over. */
  #before: Sources = { store: 0, peers: 0, origin: 0 };

  constructor(options: GetOptions) {
    this.#options = options;
    this.#client = new Client(options.api, { headersTimeout: ANSWER_MS, bodyTimeout: STALL_MS, pipelining: 1 });
  }

  /**
   * Rejects with the coded errors of this room, with what the proxy has said (`ServiceRefused`), or with the signal's reason; but for the
   * right file nothing is left under its name.
   */
  async get(): Promise<GotFile> {
    const { file, open, sha256, signal } = this.#options;
    const part = await open();
    try {
      await this.#fetch(part);
      const actual = part.sha256;
      if (sha256 !== undefined && actual !== sha256) throw new GetWrongDigest({ file, expected: sha256, actual });
      await part.finish();
      return { ...this.coming, sha256: actual };
    } catch (error) {
      await (this.#isWorthKeeping(error) && (await part.kept()) ? part.close() : part.discard());
      signal.throwIfAborted();
      throw error;
    } finally {
      await this.#client.destroy();
    }
  }

  #isWorthKeeping(error: unknown): boolean {
    if (error instanceof GetWrongDigest || error instanceof GetNotWritten) return false;
    return codeOf(error) !== 'FILE_DIGEST_MISMATCH';
  }

  async #fetch(part: Part): Promise<void> {
    const { signal } = this.#options;
    let lastByteAt = systemClock.monotonic();
    for (let tries = 0, beginnings = 0; ; tries += 1) {
      const before = this.coming.received;
      const { error, hasBegun, hasAnswered } = await this.#try(part);
      if (error === undefined) return;
      if (signal.aborted || isOwn(error) || FINAL.test(codeOf(error))) throw error;
      if (hasBegun) beginnings += 1;
      if (beginnings >= MAX_BEGINNINGS) throw new GetNotTheSame({ times: beginnings }, { cause: error });
      if (this.coming.received !== before) {
        lastByteAt = systemClock.monotonic();
        tries = 0;
      }
      // What does not work at all is said at once.
      if (this.coming.received === 0 && !hasAnswered) throw error;
      if (systemClock.monotonic() - lastByteAt > GIVE_UP_MS) {
        throw new GetBroken({ why: describeError(error), seconds: GIVE_UP_MS / 1000 }, { cause: error });
      }
      await systemClock.sleep(backoffMs(RETRY, tries), signal);
    }
  }

  /** One answer of the proxy. `hasBegun`: from the front. */
  async #try(part: Part): Promise<{ error: unknown; hasBegun: boolean; hasAnswered: boolean }> {
    const { signal } = this.#options;
    const state = { hasBegun: false, hasAnswered: false };
    let transfer: string | undefined;
    let error: unknown;
    const watching = new AbortController();
    try {
      const kept = await part.kept();
      // The last byte again: of a range behind the last one nothing could be sent.
      const from = kept ? kept.size - 1 : 0;
      const answer = await this.#ask(kept && { range: `bytes=${from}-`, 'if-range': kept.etag });
      const { statusCode, headers, body } = answer;
      if (statusCode !== 200 && statusCode !== 206) throw refusalIn(await wordsOf(body), statusCode);
      state.hasAnswered = true;
      transfer = String(headers['x-hawker-transfer']);
      await this.#open(part, statusCode === 206 ? from : undefined, headers);
      state.hasBegun = statusCode === 200;
      if (this.#options.isWatched) void this.#watch(transfer, watching.signal);
      await this.#take(part, body);
    } catch (thrown) {
      error = thrown;
    }
    watching.abort();
    if (transfer !== undefined && !signal.aborted) {
      const said = await this.#settled(transfer);
      if (error !== undefined && !isOwn(error) && said) error = said;
    }
    return { error, ...state };
  }

  async #ask(range: Record<string, string> = {}): ReturnType<Client['request']> {
    const { api, url, sha256, headers: login, signal } = this.#options;
    const headers = { ...range, ...(login && { [FILE_HEADERS]: encodeFileHeaders(login) }) };
    const query = new URLSearchParams({ url, ...(sha256 !== undefined && { sha256 }) });
    try {
      return await this.#client.request({ method: 'GET', path: `/api/v1/files?${query.toString()}`, headers, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ServiceUnreachable({ url: api, what: 'proxy', setting: 'api.listen', why: describeError(error) });
    }
  }

  async #open(part: Part, resumeAt: number | undefined, headers: Record<string, unknown>): Promise<void> {
    const { coming } = this;
    const length = headers['content-length'];
    if (resumeAt === undefined) {
      const { etag } = headers;
      await part.begin(typeof etag === 'string' ? etag : undefined);
      coming.kept = 0;
    } else {
      await part.resume(resumeAt);
      if (coming.received === 0) coming.kept = resumeAt;
    }
    coming.isShared = headers['x-hawker-shared'] !== 'no';
    coming.size = length === undefined ? undefined : part.size + Number(length);
    coming.received = part.size;
  }

  async #take(part: Part, body: AsyncIterable<Buffer>): Promise<void> {
    let chunks: Buffer[] = [];
    let length = 0;
    const flush = async (): Promise<void> => {
      const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      chunks = [];
      length = 0;
      if (bytes.length === 0) return;
      await part.write(bytes);
      this.coming.received = part.size;
    };
    try {
      for await (const chunk of body) {
        chunks.push(chunk);
        length += chunk.length;
        if (length >= WRITE_BYTES) await flush();
      }
    } finally {
      // What came before it broke off is good.
      await flush();
    }
  }

  async #watch(transfer: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await systemClock.sleep(LOOK_MS, signal).catch(() => undefined);
      if (!signal.aborted) await this.#look(transfer);
    }
  }

  /** How it has ended, at the proxy: why, where it failed. */
  async #settled(transfer: string): Promise<ServiceRefused | undefined> {
    for (let looks = 0; looks < LAST_LOOKS; looks += 1) {
      const status = await this.#look(transfer);
      if (!status) return undefined;
      if (status.state === 'sending') {
        await systemClock.sleep(25);
        continue;
      }
      this.#before = this.coming.sources;
      // That we have gone away is no news.
      if (!status.error || status.error.code === 'CLIENT_GONE') return undefined;
      return new ServiceRefused({ todo: 'see the log of the proxy', ...status.error });
    }
    return undefined;
  }

  /** By a connection of its own: the file's is taken. */
  async #look(transfer: string): Promise<Static<typeof TransferAnswer> | undefined> {
    const { askService } = await import('./api-client.ts');
    const proxy = { url: this.#options.api, what: 'proxy', setting: 'api.listen' } as const;
    const path = `/api/v1/files/transfers/${encodeURIComponent(transfer)}`;
    const status = await askService(proxy, path, TransferAnswer).catch(() => undefined);
    if (status) {
      const { store, peers, origin } = status.sources;
      const before = this.#before;
      this.coming.sources = {
        store: before.store + store,
        peers: before.peers + peers,
        origin: before.origin + origin,
      };
    }
    return status;
  }
}

/** What this end has to say is not what the proxy has. */
function isOwn(error: unknown): boolean {
  return error instanceof GetNotWritten || error instanceof GetStreamBroken;
}

async function wordsOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_WORDS_BYTES) break;
  }
  return Buffer.concat(chunks).toString();
}

function refusalIn(words: string, status: number): ServiceRefused {
  const otherwise = {
    code: 'SERVICE_BAD_ANSWER',
    message: `the proxy has answered with HTTP status ${status}`,
    todo: 'check the address, and that both sides are Hawker of the same version (`hawker version`)',
  };
  try {
    const value: unknown = JSON.parse(words);
    return new ServiceRefused({ ...otherwise, ...(Value.Check(Refusal, value) && value) });
  } catch {
    return new ServiceRefused(otherwise);
  }
}
