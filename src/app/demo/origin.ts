import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../base/clock.ts';
import { Limiter } from '../../base/limiter.ts';
import { KiB } from '../../base/units.ts';
import type { DemoBlob, DemoImage } from './image.ts';

/** What is handed to a socket at a time: little, since all that is on its way to a reader is lost when that breaks off. */
const WRITE_BYTES = 16 * KiB;

/** A registry with one repository in memory, on a free port of loopback, that counts what it gives out. */
export class DemoOrigin {
  readonly #server: Server;
  readonly #repository: string;
  readonly #limiter: Limiter;
  readonly #paths = new Map<string, DemoBlob>();
  /** Body bytes that sockets have taken so far: also those that a reader which hung up never saw. */
  bytesOut = 0;
  requests = 0;

  private constructor(server: Server, repository: string, bytesPerSecond: number | undefined) {
    this.#server = server;
    this.#repository = repository;
    this.#limiter = new Limiter({ bytesPerSecond, clock: systemClock });
  }

  /** `bytesPerSecond`: for all who read, together; without: as fast as it goes. */
  static async start(
    repository: string,
    tag: string,
    image: DemoImage,
    { bytesPerSecond }: { bytesPerSecond?: number } = {},
  ): Promise<DemoOrigin> {
    const server = createServer();
    const origin = new DemoOrigin(server, repository, bytesPerSecond);
    origin.add(tag, image);
    server.on('request', (request, response) => void origin.#answer(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return origin;
  }

  /** One more image, or another one under a tag. */
  add(tag: string, { manifest, blobs }: DemoImage): void {
    const root = `/v2/${this.#repository}`;
    this.#paths.set(`${root}/manifests/${tag}`, manifest);
    this.#paths.set(`${root}/manifests/${manifest.digest}`, manifest);
    for (const blob of blobs) this.#paths.set(`${root}/blobs/${blob.digest}`, blob);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stops at once, also what is being sent. More calls do nothing. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1;
    const blob = this.#paths.get(request.url ?? '');
    if (!blob) {
      response.writeHead(404, { 'Content-Type': 'application/json' });
      response.end('{"errors":[{"code":"BLOB_UNKNOWN","message":"not part of the demo"}]}');
      return;
    }
    const size = blob.bytes.length;
    const range = rangeOf(request.headers.range, size);
    const { start, end } = range ?? { start: 0, end: size };
    response.writeHead(range ? 206 : 200, {
      'Content-Type': blob.mediaType,
      'Content-Length': end - start,
      'Docker-Content-Digest': blob.digest,
      ...(range && { 'Content-Range': `bytes ${start}-${end - 1}/${size}` }),
    });
    if (request.method === 'HEAD') response.end();
    else await this.#send(blob.bytes.subarray(start, end), response);
  }

  /** One write at a time: what is counted has left, and what a reader hangs up on was not piled up here. */
  async #send(body: Buffer, response: ServerResponse): Promise<void> {
    try {
      for (let at = 0; at < body.length;) {
        const count = await this.#limiter.take(Math.min(WRITE_BYTES, body.length - at));
        await write(response, body.subarray(at, at + count));
        this.bytesOut += count;
        at += count;
      }
      response.end();
    } catch {
      // The reader has hung up.
      response.destroy();
    }
  }
}

/** Resolves when the system has taken the bytes; rejects when the connection is closed before. */
function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    response.write(bytes, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** One range from a given byte on (RFC 9110, 14.1.2), which is all that Hawker asks for; undefined: the whole. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header ?? '') ?? [];
  const start = Number(first);
  const end = last ? Math.min(Number(last) + 1, size) : size;
  return first !== undefined && start < end ? { start, end } : undefined;
}
