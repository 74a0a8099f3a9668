import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { digestOf, type Digest } from '../../src/base/digest.ts';

/** A web server with one file at every path, that can be odd in the ways in which web servers are. */
export class FileServer {
  readonly url: string;
  bytes: Buffer;
  /** As it is sent; undefined: none. */
  etag: string | undefined = '"v1"';
  hasRanges = true;
  hasLength = true;
  /** False: HEAD is answered 405. */
  hasHead = true;
  /** Instead of the file, with a body for people. */
  status = 200;
  /** Where it leads instead. */
  location: string | undefined;
  headers: Record<string, string> = {};
  /** Who sends another `Authorization` is answered 401, or, where there is one, with the page for people who log in. */
  authorization: string | undefined;
  loginPage: string | undefined;
  /** So many requests end with their connection, as on one that was idle for too long. */
  cutRequests = 0;
  /** A body breaks off after so many bytes, once. */
  cutAfter: number | undefined;
  /** Called before a body has its byte at `holdAt`; it goes on when that resolves. */
  holdAt = Infinity;
  hold: () => Promise<void> = () => Promise.resolve();
  /** Waits so long before each 64 KiB: what has been sent when somebody hangs up he has then mostly read. */
  stepMs = 0;
  /** Of bodies with status 200 and 206. */
  bytesOut = 0;
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers'] }[] = [];

  private constructor(url: string, bytes: Buffer) {
    this.url = url;
    this.bytes = bytes;
  }

  static async start(t: Test, size: number): Promise<FileServer> {
    let files: FileServer;
    const server = createServer((request, response) => {
      // Who hangs up ends it.
      files.#answer(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    files = new FileServer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, randomBytes(size));
    return files;
  }

  get sha256(): Digest {
    return digestOf(this.bytes);
  }

  /** Another file of the same size is there from now on. */
  change(etag: string | undefined): void {
    this.bytes = randomBytes(this.bytes.length);
    this.etag = etag;
  }

  async #answer({ method = '', url = '', headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push({ method, url, headers });
    if (this.cutRequests > 0) {
      this.cutRequests -= 1;
      response.destroy();
      return;
    }
    if (this.authorization !== undefined && headers.authorization !== this.authorization) {
      const page = this.loginPage;
      if (page === undefined) response.writeHead(401).end(`not with ${headers.authorization ?? 'nothing'}`);
      else
        response.writeHead(200, { etag: '"login"', 'content-length': page.length }).end(method === 'HEAD' ? '' : page);
      return;
    }
    if (this.location !== undefined && !url.startsWith('/moved')) {
      response.writeHead(302, { location: this.location }).end();
      return;
    }
    if (this.status !== 200 || (method === 'HEAD' && !this.hasHead)) {
      response.writeHead(this.status === 200 ? 405 : this.status).end('no such luck');
      return;
    }
    const { bytes } = this;
    const [, from, to] = (this.hasRanges && /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '')) || [];
    const start = Number(from ?? 0);
    const end = to ? Math.min(Number(to) + 1, bytes.length) : bytes.length;
    if (start >= bytes.length && from !== undefined) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
      return;
    }
    response.writeHead(from === undefined ? 200 : 206, {
      ...(this.etag !== undefined && { etag: this.etag }),
      ...(this.hasLength && { 'content-length': end - start }),
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
      ...this.headers,
    });
    if (method === 'HEAD') {
      response.end();
      return;
    }
    await this.#send(response, bytes.subarray(start, end), start);
  }

  async #send(response: ServerResponse, body: Buffer, start: number): Promise<void> {
    const STEP = 64 * 1024;
    const closed = once(response, 'close');
    for (let at = 0; at < body.length; at += STEP) {
      if (start + at + STEP > this.holdAt) await this.hold();
      if (this.cutAfter !== undefined && at >= this.cutAfter) {
        this.cutAfter = undefined;
        response.destroy();
        return;
      }
      if (this.stepMs > 0) await sleep(this.stepMs);
      const chunk = body.subarray(at, at + STEP);
      this.bytesOut += chunk.length;
      const goesOn = response.write(chunk);
      if (!goesOn) {
        await Promise.race([once(response, 'drain'), closed]);
        if (response.destroyed) return;
      }
    }
    response.end();
  }
}
