import { randomUUID } from 'node:crypto';
import { contentRange, type Slice } from '../http/range.ts';

/** A `multipart/byteranges` body, planned before its first byte so that its length is known (RFC 9110, section 14.6). */
export interface ByterangesPlan {
  readonly contentType: string;
  /** Bytes of the whole body. */
  readonly length: number;
  /** What precedes the bytes of each slice. */
  readonly parts: readonly { readonly preamble: string; readonly slice: Slice }[];
  readonly epilogue: string;
}

export function planByteranges(
  slices: readonly Slice[],
  size: number,
  mediaType: string,
  boundary: string = randomUUID(),
): ByterangesPlan {
  const parts = slices.map((slice, index) => ({
    slice,
    preamble:
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${mediaType}\r\n` +
      `Content-Range: ${contentRange(slice, size)}\r\n\r\n`,
  }));
  const epilogue = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce((sum, { preamble, slice }) => sum + preamble.length + slice.end - slice.start, 0);
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    length: length + epilogue.length,
    parts,
    epilogue,
  };
}
