/** What a 206 says it holds: bytes `start` to `end` (exclusive) of `total` (undefined: `*`). */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total: number | undefined;
}

/** Parses `Content-Range: bytes 0-99/200` (RFC 9110, 14.4); undefined for anything else, contradictions included. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^\s*bytes\s+(\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)\s*$/i.exec(header ?? '');
  if (!match) return undefined;
  const [start, end] = [Number(match[1]), Number(match[2]) + 1];
  const total = match[3] === '*' ? undefined : Number(match[3]);
  const sound =
    Number.isSafeInteger(end) && start < end && (total === undefined || (Number.isSafeInteger(total) && end <= total));
  return sound ? { start, end, total } : undefined;
}

/** A `Content-Length`, or undefined where there is none that makes sense. */
export function parseContentLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
