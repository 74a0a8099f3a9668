import { KiB } from '../base/units.ts';

/** A head that is longer is no answer of anybody. */
export const MAX_RESPONSE_HEAD_BYTES = 64 * KiB;

/** The bytes are no head of an HTTP/1 answer. The message says what was seen. */
export class BadResponseHead extends Error {
  override readonly name = 'BadResponseHead';
  readonly code = 'BAD_RESPONSE_HEAD';
}

/** RFC 9112, section 5: no space before the colon, no line folding. */
const FIELD = /^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const CR = 13;
const LF = 10;

/** Gathers the head of one answer as its bytes come. */
export class HeadCollector {
  /** What came before, while the head goes on. */
  #kept: Buffer | undefined;
  #text: string | undefined;

  /** The head without its empty line, once it is whole. */
  get text(): string | undefined {
    return this.#text;
  }

  /**
   * Takes the next bytes; how many of them belong to the head: all while it goes on, fewer when the body begins among them.
   * Not to be called again once `text` is there. Throws BadResponseHead.
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
    this.#text = bytes.toString('latin1', 0, end - 4);
    return end - before;
  }
}

/** The fields of a head's lines, names in lower case. Throws BadResponseHead for a line that is none. */
export function fieldsOf(lines: readonly string[]): [name: string, value: string][] {
  return lines.map((line) => {
    const field = FIELD.exec(line);
    if (!field) throw new BadResponseHead(`${quoted(line)} instead of a header field`);
    return [field[1]!.toLowerCase(), field[2]!.trim()];
  });
}

/** For a log: short, and printable whatever came. */
export function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 40));
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
