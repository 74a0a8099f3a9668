import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Audit } from '../base/audit.ts';
import { codeAndTodo, codeOf, describeError } from '../base/errors.ts';
import { digestHex, type Digest } from '../base/digest.ts';
import type { ByteSource, Metrics } from '../base/metrics.ts';
import { endConnection, onClientGone } from '../http/abort.ts';
import { sendBody } from '../http/body-out.ts';
import type { BufferPool } from '../http/buffer-pool.ts';
import { contentRange, parseRange, resolveRange, type Slice } from '../http/range.ts';
import { DownloadsClosed } from '../p2p/peer/errors.ts';
import { isOriginError } from '../registry/errors.ts';
import { FileBadRequest } from './errors.ts';
import { decodeFileHeaders, FILE_HEADERS } from './file-headers.ts';
import { auditFile } from './file-audit.ts';
import { failureOfFile, parseAsked, type AskedFile, type Files } from './files.ts';
import { sendStraight } from './straight.ts';
import { Transfers, type Transfer, type TransferStatus } from './transfers.ts';

/** Of an id in an ETag: short enough for the name of a file. */
const ETAG_CHARACTERS = 32;

/** By error code, what is not 502. */
const STATUSES: Readonly<Record<string, number>> = {
  FILE_URL_INVALID: 400,
  FILE_DIGEST_INVALID: 400,
  FILE_BAD_REQUEST: 400,
  FILE_HEADER_INVALID: 400,
  FILE_NOT_ALLOWED: 403,
  TOO_MANY_FILES: 503,
  TOO_MANY_DOWNLOADS: 503,
  SHUTTING_DOWN: 503,
};

/**
 * `GET /api/v1/files?url=URL[&sha256=HEX]` of a proxy's own API: any file through the swarm; `X-Hawker-File-Headers` (file-headers.ts) has
 * what its server is to be sent. Answers 200, or 206 to a `Range` (with
 * an `If-Range` of the ETag that was given before, where it is still that file), with
 *
 *     X-Hawker-Transfer  where `GET /api/v1/files/transfers/ID` says how it stands, and why it broke off
 *     X-Hawker-Shared    `no` where it comes straight from its server, because nothing says which version it is, or it is behind a login
 *     X-Hawker-Source    where the first byte comes from, as on the mirror
 *
 * An error before the first byte is `{code, message, todo}`; after it the connection ends early.
 */
export class FileApi {
  readonly #files: Files;
  readonly #pool: BufferPool;
  readonly #metrics: Metrics;
  readonly #audit: Audit;
  readonly #transfers = new Transfers();

  constructor(deps: { files: Files; pool: BufferPool; metrics: Metrics; audit: Audit }) {
    this.#files = deps.files;
    this.#pool = deps.pool;
    this.#metrics = deps.metrics;
    this.#audit = deps.audit;
  }

  transfer(id: string): TransferStatus | undefined {
    return this.#transfers.find(id);
  }

  /** Cuts off what is being sent: who asked can go on where it was, at the next process. */
  close(): void {
    this.#transfers.abortAll(new DownloadsClosed({}));
  }

  /** Answers one request. Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse, query: Record<string, unknown>): Promise<void> {
    let asked: AskedFile | undefined;
    let transfer: Transfer | undefined;
    let failure: unknown;
    let isGiven = true;
    const isPage = isFromPage(request);
    // At the end its connection may be gone.
    const { method, socket } = request;
    const { remoteAddress: client } = socket;
    try {
      if (isPage) throw new FileBadRequest({ why: 'it comes from a web page' });
      asked = { ...askedIn(query), headers: decodeFileHeaders(request.headers[FILE_HEADERS]) };
      transfer = this.#transfers.begin();
      const { signal } = transfer;
      onClientGone(response, (reason) => transfer!.abort(reason));
      await this.#send(request, response, asked, transfer);
      signal.throwIfAborted();
      response.end();
      this.#transfers.end(transfer);
    } catch (thrown) {
      failure = asked ? failureOfFile(thrown, asked) : thrown;
      isGiven = response.headersSent;
      if (transfer) this.#transfers.end(transfer, failure);
      if (isGiven) endConnection(request);
      else refuse(response, failure);
    }
    const { statusCode: status } = response;
    auditFile(this.#audit, { client, method, asked, transfer, error: failure, isGiven, status, isPage });
  }

  async #send(request: IncomingMessage, response: ServerResponse, asked: AskedFile, transfer: Transfer): Promise<void> {
    const { signal } = transfer;
    const found = await this.#files.find(asked, signal);
    const headers = {
      'Cache-Control': 'no-store',
      'Content-Type': 'application/octet-stream',
      'X-Hawker-Transfer': transfer.id,
      'X-Hawker-Shared': found.kind === 'shared' ? 'yes' : 'no',
    };
    if (found.kind === 'straight') {
      const { version } = found;
      const specs = version && rangeFor(request, etagOf(version.id));
      const part = version && sliceOf(specs, version.size).part;
      const fixed = version && { ETag: etagOf(version.id), 'Accept-Ranges': 'bytes' };
      await sendStraight(response, found.source, {
        range: part,
        begin: (size) => {
          const whole = size === undefined ? {} : { 'Content-Length': size };
          const length = part
            ? { 'Content-Length': part.end - part.start, 'Content-Range': contentRange(part, version.size) }
            : whole;
          response.writeHead(part ? 206 : 200, { ...headers, ...fixed, ...length, 'X-Hawker-Source': 'origin' });
        },
        sent: (bytes) => this.#sent(transfer, 'origin', bytes),
        signal,
      });
      return;
    }
    const etag = etagOf(found.id);
    const specs = rangeFor(request, etag);
    const guess = found.size === undefined ? undefined : sliceOf(specs, found.size);
    const blob = await this.#files.open(asked, found, guess?.part, signal);
    const close = (): void => blob.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      const { slice, part } = sliceOf(specs, blob.size);
      const partial = part ? { 'Content-Range': contentRange(part, blob.size) } : {};
      response.writeHead(part ? 206 : 200, {
        ...headers,
        ...partial,
        'Content-Length': slice.end - slice.start,
        ETag: etag,
        'Accept-Ranges': 'bytes',
        'X-Hawker-Source': blob.sourceAt(slice.start),
      });
      await sendBody(response, blob, slice, this.#pool, (bytes, at) => this.#sent(transfer, blob.sourceAt(at), bytes));
    } finally {
      signal.removeEventListener('abort', close);
      blob.close();
    }
  }

  #sent(transfer: Transfer, source: ByteSource, bytes: number): void {
    transfer.sent(source, bytes);
    this.#metrics.sentToClient(source, bytes);
  }
}

function askedIn({ url, sha256 }: Record<string, unknown>): AskedFile {
  if (typeof url !== 'string') throw new FileBadRequest({ why: 'it needs one url' });
  if (sha256 !== undefined && typeof sha256 !== 'string') throw new FileBadRequest({ why: 'it may have one sha256' });
  return parseAsked(url, sha256);
}

/** A page in a browser on this machine could have files fetched; it cannot keep its browser from saying where it is from. */
function isFromPage({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  return headers.origin !== undefined || !(site === undefined || site === 'none' || site === 'same-origin');
}

function etagOf(id: Digest): string {
  return `"${digestHex(id).slice(0, ETAG_CHARACTERS)}"`;
}

/** The range that is asked for, unless it is of another version. */
function rangeFor({ headers }: IncomingMessage, etag: string): ReturnType<typeof parseRange> {
  const { range, 'if-range': ifRange = etag } = headers;
  return ifRange === etag ? parseRange(range) : undefined;
}

/** What is sent, and, unless that is the whole, which part it is. Of several ranges, or one that cannot be, the whole is sent. */
function sliceOf(specs: ReturnType<typeof parseRange>, size: number): { slice: Slice; part: Slice | undefined } {
  const answer = resolveRange(specs, size);
  const part = answer.kind === 'single' ? answer.slice : undefined;
  return { slice: part ?? { start: 0, end: size }, part };
}

function refuse(response: ServerResponse, error: unknown): void {
  const { code, todo = 'see the log of the proxy' } = codeAndTodo(error);
  const body = JSON.stringify({ code, message: describeError(error), todo });
  response.writeHead(statusOf(error), { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }).end(body);
}

function statusOf(error: unknown): number {
  if (isOriginError(error)) return error.answer ?? 502;
  return STATUSES[codeOf(error)] ?? 502;
}
