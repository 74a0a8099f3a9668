import { parseShown, type Shown } from '../../base/shown.ts';
import { BadResponseHead, fieldsOf, HeadCollector, quoted } from '../../http/response-head.ts';
import { parseContentLength, parseContentRange, type ContentRange } from '../../registry/content-range.ts';

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
  /** `X-Hawker-Shown`: where the bytes have been shown to be. */
  readonly shown: Shown | undefined;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/**
 * Parses the head of one answer of a piece server as its bytes come: HTTP/1.1 with a status of its own, a Content-Length, and
 * a Content-Range where there is one. Whatever could be understood in two ways (another framing, a field twice, a bare line
 * feed) is an error: both ends are Hawker's, and a wrong guess would put bytes into the wrong place.
 */
export class ResponseHeadParser {
  readonly #collector = new HeadCollector();
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
    const taken = this.#collector.feed(chunk);
    const { text } = this.#collector;
    if (text !== undefined) this.#head = parseHead(text);
    return taken;
  }
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
    shown: shownIn(fields.get('x-hawker-shown')),
  };
}

function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [name, value] of fieldsOf(lines)) {
    if (fields.has(name)) throw new BadResponseHead(`${name} twice`);
    fields.set(name, value);
  }
  return fields;
}

function contentLengthOf(value: string | undefined): number {
  const length = parseContentLength(value);
  if (length === undefined) throw new BadResponseHead(`Content-Length ${quoted(value ?? '')}`);
  return length;
}

function shownIn(value: string | undefined): Shown | undefined {
  const shown = value === undefined ? undefined : parseShown(value);
  if (value !== undefined && !shown) throw new BadResponseHead(`X-Hawker-Shown ${quoted(value)}`);
  return shown;
}

function contentRangeOf(value: string | undefined): ContentRange | undefined {
  if (value === undefined) return undefined;
  const range = parseContentRange(value);
  // That of a 416 names no bytes.
  if (!range && !/^bytes \*\/\d{1,15}$/.test(value)) throw new BadResponseHead(`Content-Range ${quoted(value)}`);
  return range;
}
