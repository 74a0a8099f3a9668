import type { IncomingHttpHeaders } from 'node:http';
import { BadResponseHead, fieldsOf, quoted } from './response-head.ts';

/** Where an answer's body ends (RFC 9112, section 6.3). */
export type Framing =
  { readonly kind: 'length'; readonly bytes: number } | { readonly kind: 'chunked' } | { readonly kind: 'close' };

export interface AnswerHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly framing: Framing;
  /** For how long the connection may be kept once the body is whole, as far as the other side says, in milliseconds; 0: not at all. */
  readonly keepMs: number;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** Fields of which a second one is not what a client may join to the first (as node's own client has it). */
const SINGLE = new Set(['content-type', 'content-range', 'content-encoding', 'location', 'retry-after', 'etag', 'age']);

/** Parses the head of an answer to a GET. Throws BadResponseHead for what could be understood in two ways. */
export function parseAnswerHead(text: string): AnswerHead {
  const [first, ...lines] = text.split('\r\n') as [string, ...string[]];
  const line = STATUS_LINE.exec(first);
  if (!line) throw new BadResponseHead(`${quoted(first)} instead of a status line`);
  const status = Number(line[2]);
  const headers = headersOf(lines);
  return { status, headers, framing: framingOf(status, headers), keepMs: keepMsOf(line[1] === '1', headers) };
}

function headersOf(lines: readonly string[]): IncomingHttpHeaders {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  const cookies: string[] = [];
  for (const [name, value] of fieldsOf(lines)) {
    const before = headers[name];
    if (name === 'set-cookie') cookies.push(value);
    else if (before === undefined) headers[name] = value;
    else if (name === 'content-length' && before !== value) throw new BadResponseHead('two Content-Lengths');
    else if (name !== 'content-length' && !SINGLE.has(name)) headers[name] = `${before}, ${value}`;
  }
  return cookies.length === 0 ? headers : { ...headers, 'set-cookie': cookies };
}

function framingOf(status: number, headers: IncomingHttpHeaders): Framing {
  if (status < 200 || status === 204 || status === 304) return { kind: 'length', bytes: 0 };
  const coding = headers['transfer-encoding'];
  const length = headers['content-length'];
  if (coding !== undefined) {
    // With both, somebody on the way may have understood the other one.
    if (length !== undefined) throw new BadResponseHead('a Transfer-Encoding and a Content-Length');
    if (coding.toLowerCase() !== 'chunked') throw new BadResponseHead(`Transfer-Encoding ${quoted(coding)}`);
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'close' };
  if (!/^\d{1,15}$/.test(length)) throw new BadResponseHead(`Content-Length ${quoted(length)}`);
  return { kind: 'length', bytes: Number(length) };
}

function keepMsOf(isNew: boolean, { connection = '', 'keep-alive': kept }: IncomingHttpHeaders): number {
  const keeps = isNew ? !/\bclose\b/i.test(connection) : /\bkeep-alive\b/i.test(connection);
  if (!keeps) return 0;
  const seconds = /\btimeout=(\d{1,6})/i.exec(String(kept ?? ''))?.[1];
  // It closes by its own clock: to use the connection just then costs a request.
  return seconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Number(seconds) * 1000 - KEEP_MARGIN_MS);
}

const KEEP_MARGIN_MS = 1000;
