import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { MiB } from '../../src/base/units.ts';
import { Chance } from './chance.ts';
import type { Content, Images } from './images.ts';

/** What it may do to the body of a blob, and how often beside one another. */
const BODY_FAULTS = {
  cut: 6,
  reset: 4,
  stall: 2,
  silent: 1,
  slow: 4,
  'ignore-range': 3,
  'short-range': 3,
  'wrong-range': 2,
  'server-error': 5,
  'too-many': 2,
  html: 2,
  gzip: 1,
  chunked: 3,
  'too-short': 2,
  lie: 6,
} as const;
type BodyFault = keyof typeof BODY_FAULTS;
const MANIFEST_FAULTS = { cut: 2, 'server-error': 3, 'too-many': 1, reset: 1 } as const;

const BLOB_FAULTY = 0.25;
const MANIFEST_FAULTY = 0.08;
/** After so many faulty answers in a row about one digest it gives a right one, so that it never counts as a source that cannot give. */
const MOST_IN_A_ROW = 2;
/** Lies about one blob, in all. */
const MOST_LIES = 2;
/** One that hangs costs its reader ten seconds and more: the next answer is right. */
const HANGS: ReadonlySet<string> = new Set(['stall', 'silent']);
const SLOW_BYTES_PER_S = MiB;
const SLICE_BYTES = 64 * 1024;

interface Asked {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly digest: string;
}

/** A registry that gives every image, and misbehaves at random: never so long that nobody could get a byte from it. */
export class Origin {
  readonly #images: Images;
  readonly #chance: Chance;
  readonly #faultsInARow = new Map<string, number>();
  readonly #lies = new Map<string, { count: number; lastAt: number }>();
  readonly #server: Server;
  readonly counts = new Map<string, number>();
  bytes = 0;
  /** It refuses all requests. */
  isOut = false;
  /** It does what is right only. */
  isHonest = false;
  /** When the present or last outage began and ended, on `performance.now()`. */
  outage = { from: Number.NEGATIVE_INFINITY, to: Number.NEGATIVE_INFINITY };

  private constructor(images: Images, seed: string) {
    this.#images = images;
    this.#chance = new Chance(seed, 'origin');
    this.#server = createServer((req, res) => void this.#answer(req, res));
    this.#server.keepAliveTimeout = 20_000;
  }

  static async start(images: Images, seed: string): Promise<Origin> {
    const origin = new Origin(images, seed);
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve));
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** When it last sent other bytes of the blob than it has. */
  liedAt(digest: string): number | undefined {
    return this.#lies.get(digest)?.lastAt;
  }

  async goOut(ms: number): Promise<void> {
    const now = performance.now();
    this.outage = { from: now, to: now + ms };
    this.isOut = true;
    this.#server.closeAllConnections();
    await sleep(ms);
    this.isOut = false;
    this.outage = { from: now, to: performance.now() };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.on('error', () => undefined);
    req.resume();
    if (this.isOut) {
      req.socket.destroy();
      return;
    }
    const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)/.exec(req.url ?? '');
    if (!match) {
      res.writeHead(req.url === '/v2/' ? 200 : 404, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    const [, repository = '', kind, reference = ''] = match;
    const image = kind === 'manifests' ? this.#images.find(repository, reference) : undefined;
    const content = kind === 'blobs' ? this.#images.content(reference) : undefined;
    const asked = { req, res, digest: reference };
    if (image) await this.#manifest(asked, image);
    else if (content) await this.#blob(asked, content);
    else res.writeHead(404).end();
  }

  async #manifest(asked: Asked, image: { manifest: Buffer; mediaType: string; manifestDigest: string }): Promise<void> {
    const { manifest, mediaType, manifestDigest } = image;
    const fault = this.#fault(asked, MANIFEST_FAULTS, MANIFEST_FAULTY);
    if (fault === 'server-error' || fault === 'too-many') {
      refuse(asked.res, fault);
      return;
    }
    const headers = { 'content-type': mediaType, 'docker-content-digest': manifestDigest };
    asked.res.writeHead(200, { ...headers, 'content-length': manifest.length });
    if (asked.req.method === 'HEAD') asked.res.end();
    else if (fault) await this.#break(asked, [manifest.subarray(0, manifest.length / 2)], fault === 'reset');
    else await this.#send(asked, [manifest]);
  }

  async #blob(asked: Asked, content: Content): Promise<void> {
    const { req, res } = asked;
    const chance = this.#chance;
    const fault = this.#bodyFault(asked, content);
    if (fault === 'silent') return;
    if (fault === 'server-error' || fault === 'too-many') {
      refuse(res, fault);
      return;
    }
    const range = fault === 'ignore-range' ? null : /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
    const { size, digest } = content;
    const start = range ? Number(range[1]) : 0;
    let end = range?.[2] ? Math.min(size, Number(range[2]) + 1) : size;
    if (start >= size) {
      res.writeHead(416, { 'content-range': `bytes */${size}` }).end();
      return;
    }
    if (range && fault === 'short-range') end = chance.whole(start + 1, end + 1);
    const shift = fault === 'wrong-range' ? 1 : 0;
    const headers: Record<string, string | number> = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      ...(range && { 'content-range': `bytes ${start + shift}-${end - 1 + shift}/${size}` }),
      ...(fault !== 'chunked' && { 'content-length': end - start }),
    };
    if (req.method === 'HEAD') {
      res.writeHead(200, { ...headers, 'content-length': size }).end();
      return;
    }
    if (fault === 'html' || fault === 'gzip') {
      const page = Buffer.from('<html>Sign in</html>');
      const body = fault === 'gzip' ? gzipSync(page) : page;
      const encoding = fault === 'gzip' ? { 'content-encoding': 'gzip' } : { 'content-type': 'text/html' };
      res.writeHead(200, { 'content-length': body.length, ...encoding });
      await this.#send(asked, [body]);
      return;
    }
    const broken = start + Math.floor(chance.next() * (end - start));
    res.strictContentLength = false;
    res.writeHead(range ? 206 : 200, headers);
    if (fault === 'cut' || fault === 'too-short' || fault === 'reset') {
      await this.#break(asked, content.parts(start, broken), fault === 'reset');
    } else if (fault === 'stall') {
      await this.#send(asked, content.parts(start, broken), { leaveOpen: true });
    } else if (fault === 'slow') {
      await this.#send(asked, content.parts(start, end), { bytesPerSecond: SLOW_BYTES_PER_S });
    } else {
      const parts = content.parts(start, end);
      await this.#send(asked, fault === 'lie' ? spoilt(parts, broken - start) : parts);
    }
  }

  #bodyFault(asked: Asked, content: Content): BodyFault | undefined {
    const fault = this.#fault(asked, BODY_FAULTS, BLOB_FAULTY);
    // A page in disguise is one, too: nothing about it says that it is not the blob.
    if (fault !== 'lie' && fault !== 'gzip') return fault;
    const lies = this.#lies.get(content.digest)?.count ?? 0;
    if (!content.isLiedAbout || lies >= MOST_LIES || asked.req.method === 'HEAD') return undefined;
    this.#lies.set(content.digest, { count: lies + 1, lastAt: performance.now() });
    return fault;
  }

  #fault<K extends string>({ digest, req }: Asked, faults: Readonly<Record<K, number>>, part: number): K | undefined {
    const inARow = this.#faultsInARow.get(digest) ?? 0;
    const chosen = this.#chance.hits(part) ? this.#chance.weighted(faults) : undefined;
    if (this.isHonest || chosen === undefined || inARow >= MOST_IN_A_ROW) {
      this.#faultsInARow.delete(digest);
      return undefined;
    }
    this.#faultsInARow.set(digest, HANGS.has(chosen) ? MOST_IN_A_ROW : inARow + 1);
    if (req.method !== 'HEAD') this.counts.set(chosen, (this.counts.get(chosen) ?? 0) + 1);
    return chosen;
  }

  async #break(asked: Asked, parts: Iterable<Buffer>, reset: boolean): Promise<void> {
    await this.#send(asked, parts, { leaveOpen: true });
    const { socket } = asked.res;
    if (reset) socket?.resetAndDestroy();
    else socket?.destroy();
  }

  async #send(
    { res }: Asked,
    parts: Iterable<Buffer>,
    { leaveOpen = false, bytesPerSecond = Infinity }: { leaveOpen?: boolean; bytesPerSecond?: number } = {},
  ): Promise<void> {
    for (const part of parts) {
      for (let at = 0; at < part.length; at += SLICE_BYTES) {
        const slice = part.subarray(at, at + SLICE_BYTES);
        if (res.destroyed || this.isOut) return;
        await written(res, slice);
        this.bytes += slice.length;
        if (bytesPerSecond < Infinity) await sleep((slice.length / bytesPerSecond) * 1000);
      }
    }
    if (!leaveOpen) res.end();
  }
}

function refuse(res: ServerResponse, fault: 'server-error' | 'too-many'): void {
  if (fault === 'too-many') res.writeHead(429, { 'retry-after': '1' }).end();
  else res.writeHead(503).end();
}

/** With one byte wrong. */
function* spoilt(parts: Iterable<Buffer>, at: number): Generator<Buffer> {
  let begin = 0;
  for (const part of parts) {
    const offset = at - begin;
    if (offset >= 0 && offset < part.length) part[offset]! ^= 0xff;
    begin += part.length;
    yield part;
  }
}

function written(res: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      res.off('close', done);
      resolve();
    };
    res.once('close', done);
    res.write(bytes, done);
  });
}
