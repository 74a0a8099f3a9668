import { createHash } from 'node:crypto';
import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Hawker } from '../../e2e/support/hawker.ts';
import { ALLOWED } from '../../e2e/support/wait.ts';
import type { TestBlob } from '../../support/hostile-registry.ts';

/** Where nothing comes for so long a client has given up: containerd's patience, and some more, for this is no claim. */
const SILENCE_MS = 40_000 * ALLOWED;
const MAX_KEPT_BYTES = 64 * 1024;

/** How an answer ended: whole; with a FIN or a RST before its end; or the client had waited too long. */
export type End = 'whole' | 'fin' | 'reset' | 'silence';

/** One request for a blob or manifest, as its client saw it. */
export interface Pull {
  /** 0: there was no answer. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly end: End;
  /** Body bytes. */
  readonly bytes: number;
  /** The length that was to come: of the content, or of the part that was asked for. */
  readonly length: number;
  /** Of the body. */
  readonly digest: string;
  /** Of what was to come. */
  readonly expected: string;
  /** Offset of the first byte that is not the content's. */
  readonly wrongAt: number | undefined;
  /** `errors[0].detail.code` of an answer that is none. */
  readonly detail: string | undefined;
  readonly seconds: number;
}

export interface PullOptions {
  readonly repository?: string;
  /** First byte and the one behind the last. */
  readonly range?: readonly [start: number, end: number];
  readonly headers?: Readonly<Record<string, string>>;
  readonly kind?: 'blobs' | 'manifests';
}

/** The repository of the tests' images. */
export const REPOSITORY = 'library/app';

/** Pulls a blob through a node, over a connection of its own; whatever comes of it is the answer. */
export async function pull(node: Hawker, blob: TestBlob, options: PullOptions = {}): Promise<Pull> {
  const { repository = REPOSITORY, kind = 'blobs', range } = options;
  const content = range ? blob.bytes.subarray(...range) : blob.bytes;
  const headers = { ...(range && { range: `bytes=${range[0]}-${range[1] - 1}` }), ...options.headers };
  const startedAt = performance.now();
  const seen = await exchange(`${node.url}/v2/${repository}/${kind}/${blob.digest}`, headers, content);
  return {
    ...seen,
    length: content.length,
    expected: hexOf(content),
    seconds: (performance.now() - startedAt) / 1000,
  };
}

type Exchanged = Omit<Pull, 'length' | 'expected' | 'seconds'>;

function exchange(url: string, headers: Readonly<Record<string, string>>, content: Buffer): Promise<Exchanged> {
  return new Promise((resolve) => {
    const body = new Body(content);
    let answer: IncomingMessage | undefined;
    const over = (end: End) => resolve({ ...outcome(answer), ...body.outcome(), end, detail: body.detail() });
    const request = get(url, { agent: false, headers: { ...headers }, timeout: SILENCE_MS });
    let isFin = false;
    request.on('socket', (socket) => socket.once('end', () => (isFin = true)));
    request.on('timeout', () => {
      over('silence');
      request.destroy();
    });
    const broken = () => over(isFin ? 'fin' : 'reset');
    request.on('error', broken);
    request.on('response', (response) => {
      answer = response;
      response.on('data', (chunk: Buffer) => body.add(chunk));
      response.on('end', () => over('whole'));
      // The socket says how it ended before its stream does.
      response.on('error', () => setImmediate(broken));
    });
  });
}

function outcome(answer: IncomingMessage | undefined): { status: number; headers: IncomingHttpHeaders } {
  return { status: answer?.statusCode ?? 0, headers: answer?.headers ?? {} };
}

/** Compares a body with what it should be while it comes. */
class Body {
  readonly #content: Buffer;
  readonly #hash = createHash('sha256');
  readonly #kept: Buffer[] = [];
  #bytes = 0;
  #wrongAt: number | undefined;

  constructor(content: Buffer) {
    this.#content = content;
  }

  add(chunk: Buffer): void {
    this.#hash.update(chunk);
    if (this.#bytes < MAX_KEPT_BYTES) this.#kept.push(chunk);
    const expected = this.#content.subarray(this.#bytes, this.#bytes + chunk.length);
    if (this.#wrongAt === undefined && !expected.equals(chunk)) {
      this.#wrongAt = this.#bytes + chunk.findIndex((byte, index) => byte !== expected[index]);
    }
    this.#bytes += chunk.length;
  }

  outcome(): Pick<Pull, 'bytes' | 'digest' | 'wrongAt'> {
    return { bytes: this.#bytes, digest: `sha256:${this.#hash.copy().digest('hex')}`, wrongAt: this.#wrongAt };
  }

  detail(): string | undefined {
    const text = Buffer.concat(this.#kept).toString();
    if (!text.startsWith('{"errors"')) return undefined;
    try {
      return (JSON.parse(text) as { errors: { detail?: { code?: string } }[] }).errors[0]?.detail?.code;
    } catch {
      return undefined;
    }
  }
}

function hexOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
