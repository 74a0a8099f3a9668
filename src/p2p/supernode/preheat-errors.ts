import { codedError } from '../../base/errors.ts';

/** Why an order is not taken. */

export const PreheatInvalid = codedError('PREHEAT_INVALID', {
  message: (p: { why: string }) => `this is no order to preheat: ${p.why}`,
  todo: 'send {"image": "registry/name:tag"}, and beside it what docs/preheat.md names',
});

export const PreheatNoPeers = codedError('PREHEAT_NO_PEERS', {
  message: (p: { zone: string | undefined }) =>
    `no peer${p.zone === undefined ? '' : ` of zone ${JSON.stringify(p.zone)}`} is connected`,
  todo: '`hawker peers` shows who is connected, in which zone, and why others are not',
});

export const PreheatTooFewPeers = codedError('PREHEAT_TOO_FEW_PEERS', {
  message: (p: { wanted: number; there: number }) => `${p.wanted} peers are wanted, and ${p.there} are connected`,
  todo: 'ask for fewer, or leave the number out; `hawker peers` shows who is connected',
});

export const PreheatBusy = codedError('PREHEAT_BUSY', {
  message: (p: { running: number }) => `${p.running} images are being preheated already`,
  todo: 'wait until one is done: GET /api/v1/preheats shows them',
});

export const PreheatUnknown = codedError('PREHEAT_UNKNOWN', {
  message: (p: { id: string }) => `no preheat is known by ${JSON.stringify(p.id)}`,
  todo: 'GET /api/v1/preheats lists them; they are forgotten when the supernode is started anew',
});

/** Why one peer does not have the image. */

export const PreheatTimeout = codedError('PREHEAT_TIMEOUT', {
  message: (p: { seconds: number }) => `it was not done within ${p.seconds} s`,
  todo: 'order it again, what has come is kept; with a longer time (--timeout) where the image is large or the way is slow',
});

export const PreheatCancelled = codedError('PREHEAT_CANCELLED', {
  message: () => 'the order was cancelled before it was done',
  todo: 'nothing: what has come is kept, and an order again goes on from there',
});

export const PreheatPeerLeft = codedError('PREHEAT_PEER_LEFT', {
  message: (p: { reason: string; seconds: number }) =>
    `the peer left and was not back within ${p.seconds} s: ${p.reason}`,
  todo: 'start it again, and order it anew; `hawker peers` shows why it is away',
});

export const PreheatPeerRestarts = codedError('PREHEAT_PEER_RESTARTS', {
  message: (p: { times: number }) => `the peer was started anew ${p.times} times meanwhile`,
  todo: 'look in its log for why it ends, and order it anew',
});
