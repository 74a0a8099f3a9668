import { codedError } from '../base/errors.ts';

export const DashboardBusy = codedError('DASHBOARD_BUSY', {
  message: (p: { most: number }) => `${p.most} dashboards are open already, which is the most that are served`,
  todo: 'close some; `hawker peers` and `hawker blobs` tell the same',
});

export const DashboardFault = codedError('DASHBOARD_FAULT', {
  message: (_: object) => 'what the dashboards show could not be put together: they were closed, and ask again',
  todo: 'report it as a bug, with the text behind it; `hawker peers` and `hawker blobs` tell the same',
});

export const BlobNotListed = codedError('BLOB_NOT_LISTED', {
  message: (_: object) => 'no connected peer has this blob, or a part of it, or wants it',
  todo: 'GET /api/v1/blobs lists them; what is asked for is a whole digest, as in sha256:<64 digits>',
});

export const PeerNotListed = codedError('PEER_NOT_LISTED', {
  message: (_: object) => 'no peer is known by this id',
  todo: 'GET /api/v1/peers lists them; one that left long ago is forgotten',
});
