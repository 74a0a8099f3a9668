import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/** A coding that the origin used although `identity` was asked for, as far as it can be undone. */
export type Coding = 'gzip' | 'deflate' | 'br';

const gunzip = promisify(zlib.gunzip);
const inflate = promisify(zlib.inflate);
const brotliDecompress = promisify(zlib.brotliDecompress);

/** The coding in `Content-Encoding`: undefined for none, `unknown` for what cannot be undone (several, zstd). */
export function codingOf(header: string | undefined): Coding | 'unknown' | undefined {
  switch ((header ?? '').trim().toLowerCase()) {
    case '':
    case 'identity':
      return undefined;
    case 'gzip':
    case 'x-gzip':
      return 'gzip';
    case 'deflate':
      return 'deflate';
    case 'br':
      return 'br';
    default:
      return 'unknown';
  }
}

/** Decodes a small body; rejects where it is damaged or comes to more than `maxBytes`. */
export function decodeBody(body: Buffer, coding: Coding, maxBytes: number): Promise<Buffer> {
  const options = { maxOutputLength: maxBytes };
  switch (coding) {
    case 'gzip':
      return gunzip(body, options);
    case 'deflate':
      return inflate(body, options);
    case 'br':
      return brotliDecompress(body, options);
  }
}

/** A stream that decodes a body of any size. */
export function decoderFor(coding: Coding): zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress {
  switch (coding) {
    case 'gzip':
      return zlib.createGunzip();
    case 'deflate':
      return zlib.createInflate();
    case 'br':
      return zlib.createBrotliDecompress();
  }
}
