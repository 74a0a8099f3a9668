import { codedError } from '../../base/errors.ts';
import { formatSize } from '../../base/units.ts';

export const BlobDigestMismatch = codedError('BLOB_DIGEST_MISMATCH', {
  message: (p: { digest: string; actual: string; sources: string }) =>
    `the bytes of ${p.digest} that came from ${p.sources} hash to ${p.actual}`,
  todo: 'nothing of it was kept; if it happens again, check the origin (and any cache in front of it) for a damaged blob',
});

export const BlobWrongSize = codedError('BLOB_WRONG_SIZE', {
  message: (p: { digest: string; expected: number; actual: number; source: string }) =>
    `${p.source} gives ${formatSize(p.actual)} (${p.actual} bytes) for ${p.digest}, which has ${p.expected} bytes`,
  todo: 'check the origin: its blob is damaged, or its manifest names a wrong size',
});

export const BlobIncomplete = codedError('BLOB_INCOMPLETE', {
  message: (p: { digest: string; source: string; at: number; end: number }) =>
    `${p.source} ended ${p.digest} at byte ${p.at}, before byte ${p.end}`,
  todo: 'the rest is asked for again by itself; if it goes on, check the origin and what lies between',
});

export const BlobUnavailable = codedError('BLOB_UNAVAILABLE', {
  message: (p: { digest: string; last: string }) => `no source can give ${p.digest}; the last one said: ${p.last}`,
  todo: 'see the last source’s error; the client is sent on to the registry itself',
});

export const DownloadsClosed = codedError('SHUTTING_DOWN', {
  message: () => 'Hawker is shutting down',
  todo: 'ask again when it is back',
});

export const TooManyDownloads = codedError('TOO_MANY_DOWNLOADS', {
  message: (p: { limit: number }) => `${p.limit} blobs are coming in already, all of them for clients`,
  todo: 'ask again; if it stays so, find out which clients ask for so many different blobs at once',
});
