import type { Digest } from '../../base/digest.ts';
import type { Shown } from '../../base/shown.ts';
import type { Limiter } from '../../base/limiter.ts';
import type { BodySource } from '../../http/body-source.ts';
import { resolveRange, type RangeSpec, type Slice } from '../../http/range.ts';
import type { Shelf } from './downloads.ts';

/** A part of a blob that may be given away. Must be closed. */
export interface OpenPart extends BodySource {
  /** Where its bytes have been shown to be; undefined: nobody knows. */
  readonly shown?: Shown | undefined;
  close(): void;
}

/** Blobs that are coming in, as far as they may be given away. */
export interface IncomingParts {
  /**
   * Opens bytes `start` to `end` (exclusive, or the blob's end if that is less) of a blob that is coming in. Undefined: it is
   * not, or not all of these bytes lie in whole, checked pieces.
   */
  openPart(digest: Digest, start: number, end: number): Promise<OpenPart | undefined>;
  /** Where a blob that is here whole has been shown to be; undefined: nobody knows. */
  shownOf?(digest: Digest): Shown | undefined;
}

/** What is to be sent: a slice of a body; `whole` where no range was asked for. */
export interface Upload {
  readonly body: OpenPart;
  readonly slice: Slice;
  readonly whole: boolean;
}

/** Where uploads come from. */
export interface UploadPlaces {
  /** Verified blobs that may be given to the cluster. */
  readonly shelves: readonly Shelf[];
  readonly incoming: IncomingParts;
}

/**
 * Opens what a request names: of a verified blob anything, of one that is coming in what is named by its first and last byte.
 * Undefined: it is not here.
 */
export async function openUpload(
  places: UploadPlaces,
  digest: Digest,
  specs: readonly RangeSpec[] | undefined,
): Promise<Upload | 'unsatisfiable' | undefined> {
  // The store once more: what was coming in may have been published between the two questions.
  const body =
    (await openStored(places, digest)) ??
    (await openIncoming(places.incoming, digest, specs)) ??
    (await openStored(places, digest));
  if (!body) return undefined;
  const wanted = resolveRange(specs, body.size);
  if (wanted.kind === 'single') return { body, slice: wanted.slice, whole: false };
  if (wanted.kind === 'whole') return { body, slice: { start: 0, end: body.size }, whole: true };
  body.close();
  return 'unsatisfiable';
}

async function openStored({ shelves, incoming }: UploadPlaces, digest: Digest): Promise<OpenPart | undefined> {
  for (const shelf of shelves) {
    const blob = await shelf.open(digest);
    if (!blob) continue;
    return {
      size: blob.size,
      shown: incoming.shownOf?.(digest),
      ready: async () => blob.size,
      read: async (buffer, position) => {
        const count = await blob.read(buffer, position);
        if (count === 0) throw new Error(`${digest} ends at byte ${position}`);
        return count;
      },
      readNow: (buffer, position) => blob.readNow?.(buffer, position) ?? 0,
      close: () => void blob.close(),
    };
  }
  return undefined;
}

async function openIncoming(
  incoming: IncomingParts,
  digest: Digest,
  specs: readonly RangeSpec[] | undefined,
): Promise<OpenPart | undefined> {
  const spec = specs?.[0];
  if (!spec || 'suffix' in spec || spec.last === undefined) return undefined;
  return incoming.openPart(digest, spec.first, spec.last + 1);
}

/** A body of which no more is ready than the limiter grants. */
export function pacedBy(limiter: Limiter, body: BodySource, end: number): BodySource {
  return {
    size: body.size,
    read: (buffer, position) => body.read(buffer, position),
    readNow: (buffer, position) => body.readNow?.(buffer, position) ?? 0,
    ready: async (position) => {
      const ready = Math.min(end, await body.ready(position));
      return position + (await limiter.take(ready - position));
    },
  };
}
