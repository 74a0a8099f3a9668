import { codedError } from '../base/errors.ts';

/** What an operator asks of this node's store, and cannot have. */

export const StoreNotOpen = codedError('STORE_NOT_OPEN', {
  message: () => 'the store is not open: its disk takes nothing, or the process before this one is still ending',
  todo: 'ask again; see the log of this proxy (STORE_LATE, STORE_HANDOVER)',
});

export const StoreAskInvalid = codedError('STORE_ASK_INVALID', {
  message: (p: { why: string }) => `this cannot be done with the store: ${p.why}`,
  todo: 'name a digest (sha256:…) or an image, as `hawker blobs --node` shows them; a size has a unit, as in 5GiB',
});

export const BlobNotHere = codedError('BLOB_NOT_HERE', {
  message: (p: { digest: string }) => `${p.digest} is not in the store of this node`,
  todo: '`hawker blobs --node` shows what is',
});

export const ImageNotHere = codedError('IMAGE_NOT_HERE', {
  message: (p: { image: string }) =>
    `${p.image} is not in the store of this node, or nobody has read it through this node`,
  todo: 'fetch it first: `hawker preheat`, or a pull; `hawker blobs --node` shows what is there',
});

export const ImageNotWhole = codedError('IMAGE_NOT_WHOLE', {
  message: (p: { image: string; missing: number }) =>
    `${p.missing} of the blobs of ${p.image} are not in the store of this node`,
  todo: 'fetch it first: `hawker preheat`, or a pull',
});

export const BlobPinned = codedError('BLOB_PINNED', {
  message: (p: { digest: string; pins: string }) => `${p.digest} is pinned by ${p.pins}`,
  todo: 'unpin that first: hawker unpin IMAGE',
});

export const NotPinned = codedError('NOT_PINNED', {
  message: (p: { image: string }) => `${p.image} is not pinned`,
  todo: '`hawker blobs --node` shows what is',
});
