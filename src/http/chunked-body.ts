import { BadResponseHead, quoted } from './response-head.ts';

/** Of a chunk's size with its extensions, and of one trailer field; and of all trailer fields. */
const MAX_LINE_BYTES = 1024;
const MAX_TRAILERS = 64;
const LF = 10;

/** Takes apart a body in chunks (RFC 9112, section 7.1); extensions and trailers are thrown away. */
export class ChunkedBody {
  readonly #data: (chunk: Uint8Array) => void;
  #state: 'size' | 'data' | 'end of data' | 'trailers' | 'over' = 'size';
  #left = 0;
  #line = '';
  #trailers = 0;

  /** `data` gets the bytes inside, good until it returns. */
  constructor(data: (chunk: Uint8Array) => void) {
    this.#data = data;
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** Takes bytes; how many belong to the body. Throws BadResponseHead where they are no chunks. */
  feed(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && this.#state !== 'over') {
      if (this.#state === 'data') {
        const count = Math.min(this.#left, bytes.length - at);
        this.#left -= count;
        if (this.#left === 0) this.#state = 'end of data';
        this.#data(bytes.subarray(at, at + count));
        at += count;
      } else at = this.#takeLine(bytes, at);
    }
    return at;
  }

  #takeLine(bytes: Uint8Array, from: number): number {
    const end = bytes.indexOf(LF, from);
    const until = end === -1 ? bytes.length : end;
    if (this.#line.length + until - from > MAX_LINE_BYTES) throw new BadResponseHead('a chunk with too long a line');
    this.#line += Buffer.from(bytes.buffer, bytes.byteOffset + from, until - from).toString('latin1');
    if (end === -1) return bytes.length;
    if (!this.#line.endsWith('\r')) throw new BadResponseHead('a chunk with a bare line feed');
    const line = this.#line.slice(0, -1);
    this.#line = '';
    this.#took(line);
    return end + 1;
  }

  #took(line: string): void {
    if (this.#state === 'size') {
      const size = /^([\da-fA-F]{1,12})[ \t]*(?:;[\t\x20-\x7e]*)?$/.exec(line)?.[1];
      if (size === undefined) throw new BadResponseHead(`${quoted(line)} instead of a chunk's size`);
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailers' : 'data';
    } else if (this.#state === 'end of data') {
      if (line !== '') throw new BadResponseHead(`${quoted(line)} behind a chunk`);
      this.#state = 'size';
    } else if (line === '') this.#state = 'over';
    else {
      this.#trailers += 1;
      if (this.#trailers > MAX_TRAILERS) throw new BadResponseHead('too many trailers');
    }
  }
}
