/** One element of a `Range` header as it is written: `first-last`, `first-`, or the last `suffix` bytes. */
export type RangeSpec = { readonly first: number; readonly last: number | undefined } | { readonly suffix: number };

/** Bytes `start` to `end` (exclusive). */
export interface Slice {
  readonly start: number;
  readonly end: number;
}

/** What a `Range` header asks of a body of known size. */
export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'single'; readonly slice: Slice }
  /** More than one was asked for: the answer is multipart, even when only one of them lies within the body. */
  | { readonly kind: 'multi'; readonly slices: readonly Slice[] }
  /** 416. */
  | { readonly kind: 'unsatisfiable' }
  /** 400: too many, or overlapping. podman and stargz then ask for the whole blob. */
  | { readonly kind: 'refused' };

/** The most ranges in one request. podman asks for up to 1024 chunks of a zstd:chunked layer at once. */
export const MAX_RANGES = 1024;

const SPEC = /^(\d{0,15})-(\d{0,15})$/;

/**
 * The ranges in a `Range` header (RFC 9110, section 14.2). Undefined where the header is to be ignored: absent, of another
 * unit than bytes, or malformed.
 */
export function parseRange(header: string | undefined): readonly RangeSpec[] | undefined {
  const match = /^bytes=(.+)$/i.exec(header ?? '');
  if (!match) return undefined;
  const specs: RangeSpec[] = [];
  for (const element of match[1]!.split(',')) {
    const text = element.replaceAll(/^[ \t]+|[ \t]+$/g, '');
    // Empty list elements are legal (RFC 9110, section 5.6.1.2).
    if (text === '') continue;
    const spec = parseSpec(text);
    if (!spec) return undefined;
    specs.push(spec);
  }
  return specs.length > 0 ? specs : undefined;
}

function parseSpec(text: string): RangeSpec | undefined {
  const match = SPEC.exec(text);
  if (!match) return undefined;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === '') return last === '' ? undefined : { suffix: Number(last) };
  if (last === '') return { first: Number(first), last: undefined };
  return Number(last) < Number(first) ? undefined : { first: Number(first), last: Number(last) };
}

/** Applies ranges to a body of `size` bytes. An empty body is always sent whole: containerd asks `bytes=0-` of each. */
export function resolveRange(specs: readonly RangeSpec[] | undefined, size: number): RangeAnswer {
  if (!specs || size === 0) return { kind: 'whole' };
  if (specs.length > MAX_RANGES) return { kind: 'refused' };
  const slices = specs.map((spec) => sliceOf(spec, size)).filter((slice) => slice !== undefined);
  const [first] = slices;
  if (!first) return { kind: 'unsatisfiable' };
  if (specs.length === 1) return { kind: 'single', slice: first };
  return overlap(slices) ? { kind: 'refused' } : { kind: 'multi', slices };
}

/** The slice that one range names in a body of `size` bytes; undefined when it names none of its bytes. */
function sliceOf(spec: RangeSpec, size: number): Slice | undefined {
  if ('suffix' in spec) return spec.suffix === 0 ? undefined : { start: Math.max(0, size - spec.suffix), end: size };
  if (spec.first >= size) return undefined;
  return { start: spec.first, end: spec.last === undefined ? size : Math.min(size, spec.last + 1) };
}

function overlap(slices: readonly Slice[]): boolean {
  const sorted = slices.toSorted((a, b) => a.start - b.start);
  return sorted.some((slice, index) => index > 0 && slice.start < sorted[index - 1]!.end);
}

/** `Content-Range` of a part of a body of `size` bytes. */
export function contentRange(slice: Slice, size: number): string {
  return `bytes ${slice.start}-${slice.end - 1}/${size}`;
}
