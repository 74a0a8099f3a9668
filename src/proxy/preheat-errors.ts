import { codedError } from '../base/errors.ts';
import { formatSize } from '../base/units.ts';

/** Why this node does not have an image that it was to fetch; beside the errors of the registry and of the store. */

export const PreheatImageInvalid = codedError('PREHEAT_IMAGE_INVALID', {
  message: (p: { image: string }) => `this is no image: ${JSON.stringify(p.image)}`,
  todo: 'name it as docker does: docker.io/library/alpine:3, ghcr.io/org/app@sha256:…',
});

export const PreheatPlatformInvalid = codedError('PREHEAT_PLATFORM_INVALID', {
  message: (p: { platform: string }) => `this is no platform: ${JSON.stringify(p.platform)}`,
  todo: 'name it as os/architecture, as in linux/arm64 or linux/arm/v7; or all',
});

export const PreheatNoPlatform = codedError('PREHEAT_NO_PLATFORM', {
  message: (p: { wanted: string; there: string }) => `the image is not there for ${p.wanted}, only for ${p.there}`,
  todo: 'choose one of these (--platform), or peers that run it (--zone)',
});

export const PreheatNotKept = codedError('PREHEAT_NOT_KEPT', {
  message: (p: { image: string }) =>
    `${p.image} is of a kind that no mirror keeps (docker schema 1, or none that is known)`,
  todo: 'push it again with a newer client, or leave it out',
});

export const PreheatStale = codedError('PREHEAT_STALE', {
  message: (p: { host: string }) => `${p.host} cannot be asked now what the tag stands for`,
  todo: 'see that the registry can be reached (`hawker doctor`), and order it again; or name the image by its digest',
});

export const PreheatTooLarge = codedError('PREHEAT_TOO_LARGE', {
  message: (p: { bytes: number; quota: number }) =>
    `the image takes ${formatSize(p.bytes)}, and the store has ${formatSize(p.quota)} for what may go`,
  todo: 'raise store.quota on that node, unpin what is not needed (`hawker blobs --node`), or choose fewer platforms',
});

export const PreheatDiskFull = codedError('PREHEAT_DISK_FULL', {
  message: (p: { bytes: number; why: string }) => `${formatSize(p.bytes)} are to come, and ${p.why}`,
  todo: 'free space on the disk of store.dir on that node, or make it writable',
});

/** The store does not take a blob: it would only be streamed through. */
export const PreheatNoRoom = codedError('PREHEAT_NO_ROOM', {
  message: (p: { digest: string }) => `the store does not take ${p.digest} now`,
  todo: 'see the log of that node: its disk is full or fails, it runs short of something, or all of its quota is in use',
});

export const PreheatEvicted = codedError('PREHEAT_EVICTED', {
  message: (p: { count: number }) => `${p.count} of its blobs had to make way again before all were there`,
  todo: 'raise store.quota on that node, or preheat fewer images at the same time',
});

export const PreheatTooMany = codedError('PREHEAT_TOO_MANY_BLOBS', {
  message: (p: { most: number }) => `the image names more than ${p.most} manifests and blobs`,
  todo: 'choose its platforms (--platform), or name one of its manifests by digest',
});
