import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { isOutOfDescriptors } from '../../base/descriptors.ts';
import { parseBlobId, type Digest } from '../../base/digest.ts';
import type { Limiter } from '../../base/limiter.ts';
import type { Metrics } from '../../base/metrics.ts';
import { Pieces } from '../../base/pieces.ts';
import { formatShown } from '../../base/shown.ts';
import { sendBody } from '../../http/body-out.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import { contentRange, parseRange } from '../../http/range.ts';
import { answer, hasBody } from './piece-http.ts';
import { openUpload, pacedBy, type Upload, type UploadPlaces } from './upload.ts';
import type { UploadSlots } from './upload-slots.ts';

const BLOB_PATH = /^\/v1\/blobs\/([^/?]{1,200})$/;

export interface BlobAnswersOptions extends UploadPlaces {
  readonly slots: UploadSlots;
  readonly limiter: Limiter;
  readonly pool: BufferPool;
  readonly metrics: Pick<Metrics, 'peerBytes'>;
}

/** The blob that a request names; undefined: none. */
export function blobIn({ url = '' }: Pick<IncomingMessage, 'url'>): Digest | undefined {
  return parseBlobId(BLOB_PATH.exec(url)?.[1] ?? '');
}

/** Gives what is here of blobs to members: whole, or one range of it, within the upload slots and the upload limit. */
export class BlobAnswers {
  readonly #options: BlobAnswersOptions;

  constructor(options: BlobAnswersOptions) {
    this.#options = options;
  }

  /**
   * Answers 200, 206, 404, 416, or 503 where it has no slot. False: this cannot be asked, and nothing was said. Rejects with what
   * went wrong in the middle of a body: the connection is to break off.
   */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const digest = blobIn(request);
    const { range } = request.headers;
    const specs = parseRange(range);
    const method = request.method === 'GET' || request.method === 'HEAD';
    const isSound = method && digest && !hasBody(request) && (range === undefined || specs?.length === 1);
    if (!isSound) return false;
    const upload = await openUpload(this.#options, digest, specs).catch((error: unknown) => {
      if (isOutOfDescriptors(error)) return 'busy' as const;
      throw error;
    });
    if (!upload) answer(response, 404);
    else if (upload === 'busy') answerBusy(response);
    else if (upload === 'unsatisfiable') answer(response, 416);
    else {
      try {
        await this.#send(request, response, upload);
      } finally {
        upload.body.close();
      }
    }
    return true;
  }

  async #send(request: IncomingMessage, response: ServerResponse, { body, slice, whole }: Upload): Promise<void> {
    const headers: OutgoingHttpHeaders = { 'Content-Length': slice.end - slice.start };
    if (body.shown) headers['X-Hawker-Shown'] = formatShown(body.shown);
    if (!whole) headers['Content-Range'] = contentRange(slice, body.size);
    if (request.method === 'HEAD') {
      response.writeHead(whole ? 200 : 206, headers).end();
      return;
    }
    const release = this.#options.slots.take({ onePiece: new Pieces(body.size).count <= 1 });
    if (!release) {
      answerBusy(response);
      return;
    }
    try {
      response.writeHead(whole ? 200 : 206, headers);
      const { limiter, metrics, pool } = this.#options;
      const paced = limiter.isUnlimited ? body : pacedBy(limiter, body, slice.end);
      const sent = await sendBody(response, paced, slice, pool);
      metrics.peerBytes.inc({ direction: 'out' }, sent);
      response.end();
    } finally {
      release();
    }
  }
}

function answerBusy(response: ServerResponse): void {
  answer(response, 503, { 'X-Hawker-Reason': 'busy' });
}
