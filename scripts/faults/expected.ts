/** What must be seen of a cause while it lasts. More may be. */
export interface Expected {
  /**
   * The node in `hawker peers`: its state (and a part of the reason), the code with which it is among the rejected, that it is in
   * neither list, or that the supernode does not answer.
   */
  readonly peers: { readonly state: RegExp; readonly reason?: RegExp } | { readonly rejected: string } | 'absent' | 'no answer';
  /** Codes in the proxy's log, and in the supernode's. */
  readonly proxyLog: readonly string[];
  readonly supernodeLog?: readonly string[];
  /** Checks of `hawker doctor` on the node that fail; none: it ends with 0. */
  readonly doctor: readonly string[];
}

const READY = { state: /^ready$/ };
const GONE = { state: /^(?:stale|left)$/ };
const unreachable = (reason: RegExp) => ({ state: /^unreachable$/, reason });

/** By the cause's name. */
export const EXPECTED: Readonly<Record<string, Expected>> = {
  none: { peers: READY, proxyLog: [], doctor: [] },

  absent: { peers: 'no answer', proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  killed: { peers: 'no answer', proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  frozen: { peers: 'no answer', proxyLog: ['SUPERNODE_SILENT'], doctor: [] },
  moved: { peers: 'no answer', proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  two: { peers: READY, proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  'half-open': { peers: GONE, proxyLog: ['SUPERNODE_SILENT'], doctor: [] },
  'not-hawker': { peers: GONE, proxyLog: ['SUPERNODE_NOT_HAWKER'], doctor: [] },
  slow: { peers: READY, proxyLog: [], doctor: [] },
  'too-slow': { peers: GONE, proxyLog: ['SUPERNODE_SILENT'], doctor: [] },

  nxdomain: { peers: 'absent', proxyLog: ['SUPERNODE_UNRESOLVED'], doctor: [] },
  'dns-silent': { peers: 'absent', proxyLog: ['SUPERNODE_UNRESOLVED'], doctor: [] },
  'dead-address': { peers: READY, proxyLog: [], doctor: [] },

  '6789-drop': { peers: GONE, proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  '6789-drop-at': { peers: 'absent', proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  '6789-reject': { peers: GONE, proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },
  '6789-one-way': { peers: GONE, proxyLog: ['SUPERNODE_UNREACHABLE'], doctor: [] },

  'wrong-secret': { peers: { rejected: 'NOT_A_MEMBER' }, proxyLog: ['NOT_A_MEMBER'], doctor: [] },
  'no-secret': { peers: { rejected: 'NOT_A_MEMBER' }, proxyLog: ['NOT_A_MEMBER'], doctor: [] },
  'other-major': { peers: { rejected: 'PROTOCOL_VERSION' }, proxyLog: ['PROTOCOL_VERSION'], doctor: [] },
  'other-minor': { peers: READY, proxyLog: ['PROTOCOL_VERSION_DIFFERS'], doctor: [] },
  'copied-id': { peers: { rejected: 'DUPLICATE_ID' }, proxyLog: ['DUPLICATE_ID'], doctor: [] },
  'no-port': { peers: 'absent', proxyLog: [''], doctor: [] },
  unspecified: { peers: { rejected: 'BAD_ADDRESS' }, proxyLog: ['BAD_ADDRESS'], doctor: [] },
  'wrong-host': { peers: unreachable(/another peer answers/), proxyLog: [], doctor: [] },

  'piece-drop': { peers: unreachable(/./), proxyLog: [], doctor: [] },
  'piece-reject': { peers: unreachable(/refused/), proxyLog: [], doctor: [] },
  'piece-policy': { peers: READY, proxyLog: [], doctor: [] },
  pair: { peers: READY, proxyLog: [], doctor: [] },

  'node-frozen': { peers: { state: /^stale$/ }, proxyLog: [], doctor: [] },
  'node-killed': { peers: { state: /^left$/ }, proxyLog: [], doctor: [] },
  clock: { peers: READY, proxyLog: [], doctor: [] },
  'small-disk': { peers: READY, proxyLog: [], doctor: [] },
};
