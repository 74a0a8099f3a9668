import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DemoBlob, DemoImage } from './image.ts';

/** A registry with one image in memory, on a free port of loopback, that counts what it gives out. */
export class DemoOrigin {
  readonly #server: Server;
  /** Body bytes sent so far. */
  bytesOut = 0;
  requests = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(repository: string, tag: string, image: DemoImage): Promise<DemoOrigin> {
    const server = createServer();
    const origin = new DemoOrigin(server);
    const paths = new Map<string, DemoBlob>([
      [`/v2/${repository}/manifests/${tag}`, image.manifest],
      [`/v2/${repository}/manifests/${image.manifest.digest}`, image.manifest],
      ...image.blobs.map((blob) => [`/v2/${repository}/blobs/${blob.digest}`, blob] as const),
    ]);
    server.on('request', (request, response) => origin.#answer(paths.get(request.url ?? ''), request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stops at once, also what is being sent. */
  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #answer(blob: DemoBlob | undefined, request: IncomingMessage, response: ServerResponse): void {
    this.requests += 1;
    if (!blob) {
      response.writeHead(404, { 'Content-Type': 'application/json' });
      response.end('{"errors":[{"code":"BLOB_UNKNOWN","message":"not part of the demo"}]}');
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const body = blob.bytes.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      'Content-Type': blob.mediaType,
      'Content-Length': body.length,
      'Docker-Content-Digest': blob.digest,
      ...(from > 0 && { 'Content-Range': `bytes ${from}-${blob.bytes.length - 1}/${blob.bytes.length}` }),
    });
    if (request.method === 'HEAD') response.end();
    else {
      this.bytesOut += body.length;
      response.end(body);
    }
  }
}
