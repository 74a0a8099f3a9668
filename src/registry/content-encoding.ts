import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/** A coding that the origin used although `identity` was asked for, as far as it can be undone. */
export type Coding = 'gzip' | 'deflate' | 'br';

type Decoder = zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress;

const WHOLE: Record<Coding, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>> = {
  gzip: promisify(zlib.gunzip),
  deflate: promisify(zlib.inflate),
  br: promisify(zlib.brotliDecompress),
};
const STREAM: Record<Coding, () => Decoder> = {
  gzip: () => zlib.createGunzip(),
  deflate: () => zlib.createInflate(),
  br: () => zlib.createBrotliDecompress(),
};

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
  return WHOLE[coding](body, { maxOutputLength: maxBytes });
}

/** A stream that decodes a body of any size. */
export function decoderFor(coding: Coding): Decoder {
  return STREAM[coding]();
}
