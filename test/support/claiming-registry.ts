import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../src/base/digest.ts';
import { randomBytes } from './registry-images.ts';

/** What it gives for what it claims. */
export type Fraud =
  | 'other bytes'
  | 'another size'
  | 'all of other bytes'
  | 'a redirect'
  | 'gzip'
  | 'a web page'
  | 'too little'
  | 'nothing there'
  | 'no right'
  | 'unavailable'
  | 'closed';

export const FRAUDS: readonly Fraud[] = [
  'other bytes',
  'another size',
  'all of other bytes',
  'a redirect',
  'gzip',
  'a web page',
  'too little',
  'nothing there',
  'no right',
  'unavailable',
  'closed',
];

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/**
 * A registry that says to HEAD that it has every digest, in every repository, and that every tag is the manifest `tag`. What it
 * gives to GET is bytes of its own, as many as `size` says (of all digests), or what else its `fraud` is.
 */
export class ClaimingRegistry {
  fraud: Fraud = 'other bytes';
  size = 1000;
  /** The sizes of some digests, where these are known. */
  readonly sizes = new Map<string, number>();
  tag = digestOf('');
  readonly requests: { readonly method: string; readonly path: string; readonly range: string | undefined }[] = [];
  readonly #server: Server;
  url = '';

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<ClaimingRegistry> {
    const registry = new ClaimingRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    registry.url = `http://127.0.0.1:${(registry.#server.address() as AddressInfo).port}`;
    return registry;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer({ method = '', url = '', headers }: IncomingMessage, response: ServerResponse): void {
    this.requests.push({ method, path: url, range: headers.range });
    const [, kind, reference] = /\/(manifests|blobs|elsewhere)\/([^/]+)$/.exec(url) ?? [];
    if (kind === undefined) return void response.end('{}');
    const size = this.sizes.get(reference!) ?? this.size;
    const type = kind === 'manifests' ? OCI_MANIFEST : 'application/octet-stream';
    if (method === 'HEAD') {
      const digest = reference!.startsWith('sha256:') ? reference : this.tag;
      response.writeHead(200, { 'content-type': type, 'docker-content-digest': digest, 'content-length': size });
      return void response.end();
    }
    this.#give(kind, type, size, headers.range, response);
  }

  #give(kind: string, type: string, size: number, range: string | undefined, response: ServerResponse): void {
    const bytes = randomBytes(`of ${kind}`, this.fraud === 'another size' ? size + 1 : size);
    const fail = (status: number): void => void response.writeHead(status, { 'content-length': 0 }).end();
    switch (this.fraud) {
      case 'nothing there':
        return fail(404);
      case 'no right':
        return fail(403);
      case 'unavailable':
        return fail(503);
      case 'closed':
        return void response.socket?.destroy();
      case 'a web page':
        return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
      case 'gzip':
        return void response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip' }).end(gzipSync(bytes));
      case 'a redirect':
        if (kind === 'blobs') return void response.writeHead(307, { location: `${this.url}/elsewhere/x` }).end();
        break;
      case 'all of other bytes':
        return void response.writeHead(200, { 'content-type': type, 'content-length': bytes.length }).end(bytes);
      case 'other bytes':
      case 'another size':
      case 'too little':
    }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    if (first === undefined) {
      response.writeHead(200, { 'content-type': type, 'content-length': bytes.length });
      return void response.end(bytes);
    }
    const start = Number(first);
    const end = Math.min(last ? Number(last) + 1 : bytes.length, bytes.length);
    const part = bytes.subarray(start, this.fraud === 'too little' ? end - 10 : end);
    response.writeHead(206, { 'content-type': type, 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` });
    if (this.fraud !== 'too little') return void response.end(part);
    response.write(part, () => response.socket?.destroy());
  }
}
