import { KiB } from '../../base/units.ts';
import { parseContentLength, parseContentRange, type ContentRange } from '../../registry/content-range.ts';

/** A head that is longer is no answer of a peer. */
export const MAX_RESPONSE_HEAD_BYTES = 64 * KiB;

/** What a piece client needs to know of an answer. */
export interface ResponseHead {
  readonly status: number;
  /** Bytes in the body. */
  readonly contentLength: number;
  readonly contentRange: ContentRange | undefined;
  /** The connection may be used again. */
  readonly keepAlive: boolean;
  /** `X-Hawker-Reason`: why a peer does not give what was asked. */
  readonly reason: string | undefined;
}

/** The bytes are no head of an answer that a peer gives. The message says what was seen. */
export class BadResponseHead extends Error {
  override readonly name = 'BadResponseHead';
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** RFC 9112, section 5: no space before the colon, no line folding. */
const FIELD = /^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const CR = 13;
const LF = 10;

/**
 * Parses the head of one answer of a piece server as its bytes come: HTTP/1.1 with a status of its own, a Content-Length, and
 * a Content-Range where there is one. Whatever could be understood in two ways (another framing, a field twice, a bare line
 * feed) is an error: both ends are Hawker's, and a wrong guess would put bytes into the wrong place.
 */
export class ResponseHeadParser {
  /** What came before, while the head goes on. */
  #kept: Buffer | undefined;
  #head: ResponseHead | undefined;

  /** The head, once it is whole. */
  get head(): ResponseHead | undefined {
    return this.#head;
  }

  /**
   * Takes the next bytes; how many of them belong to the head: all while it goes on, fewer when the body begins among them.
   * Not to be called again once `head` is there. Throws BadResponseHead.
   */
  feed(chunk: Uint8Array): number {
    const before = this.#kept?.length ?? 0;
    const bytes = this.#kept ? Buffer.concat([this.#kept, chunk]) : asBuffer(chunk);
    const end = endOfHead(bytes, before);
    if ((end ?? bytes.length) > MAX_RESPONSE_HEAD_BYTES) {
      throw new BadResponseHead(`a head of more than ${MAX_RESPONSE_HEAD_BYTES} bytes`);
    }
    if (end === undefined) {
      // A copy: the chunk belongs to whoever reads from the socket.
      this.#kept = this.#kept ? bytes : Buffer.from(bytes);
      return chunk.length;
    }
    this.#kept = undefined;
    this.#head = parseHead(bytes.toString('latin1', 0, end - 4));
    return end - before;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The position behind the empty line, of which the last byte is looked for from `from` on. */
function endOfHead(bytes: Buffer, from: number): number | undefined {
  for (let at = bytes.indexOf(LF, from); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (at >= 3 && bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
  }
  return undefined;
}

function parseHead(text: string): ResponseHead {
  const [first, ...lines] = text.split('\r\n') as [string, ...string[]];
  const status = STATUS_LINE.exec(first)?.[1];
  if (status === undefined) throw new BadResponseHead(`${quoted(first)} instead of a status line`);
  const fields = parseFields(lines);
  if (fields.has('transfer-encoding')) throw new BadResponseHead('a Transfer-Encoding');
  return {
    status: Number(status),
    contentLength: contentLengthOf(fields.get('content-length')),
    contentRange: contentRangeOf(fields.get('content-range')),
    keepAlive: !/\bclose\b/i.test(fields.get('connection') ?? ''),
    reason: fields.get('x-hawker-reason'),
  };
}

function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const field = FIELD.exec(line);
    if (!field) throw new BadResponseHead(`${quoted(line)} instead of a header field`);
    const name = field[1]!.toLowerCase();
    if (fields.has(name)) throw new BadResponseHead(`${name} twice`);
    fields.set(name, field[2]!.trim());
  }
  return fields;
}

function contentLengthOf(value: string | undefined): number {
  const length = parseContentLength(value);
  if (length === undefined) throw new BadResponseHead(`Content-Length ${quoted(value ?? '')}`);
  return length;
}

function contentRangeOf(value: string | undefined): ContentRange | undefined {
  if (value === undefined) return undefined;
  const range = parseContentRange(value);
  // That of a 416 names no bytes.
  if (!range && !/^bytes \*\/\d{1,15}$/.test(value)) throw new BadResponseHead(`Content-Range ${quoted(value)}`);
  return range;
}

/** For a log: short, and printable whatever came. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}
