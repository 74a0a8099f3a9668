/** What must be seen of a cause while it lasts. More may be. */
export interface Expected {
  /**
   * The node in `hawker peers`: its state (and a part of the reason), the code with which it is among the rejected, that it is in
   * neither list, or that the supernode does not answer.
   */
  readonly peers:
    { readonly state: RegExp; readonly reason?: RegExp } | { readonly rejected: string } | 'absent' | 'no answer';
  /** Codes of warnings and errors in the proxy's log, and in the supernode's. */
  readonly proxyLog: readonly RegExp[];
  readonly supernodeLog?: readonly RegExp[];
  /** Checks of `hawker doctor` on the node that fail; none: it ends with 0. */
  readonly doctor: readonly string[];
}

/** Of a supernode that cannot be reached: who refuses says so, who drops says nothing. */
const REFUSED = [/^SUPERNODE_UNREACHABLE$/];
const DROPPED = [/^SUPERNODE_TIMEOUT$/];
const READY = { state: /^ready$/ };
const GONE = { state: /^(?:stale|left)$/ };
const UNREACHABLE = { proxyLog: [], supernodeLog: [/^PEER_UNREACHABLE$/] };
const refused = (code: string) => ({ proxyLog: [new RegExp(`^${code}$`)], supernodeLog: [new RegExp(`^${code}$`)] });
const unreachable = (reason: RegExp) => ({ state: /^unreachable$/, reason });

/** By the cause's name. */
export const EXPECTED: Readonly<Record<string, Expected>> = {
  none: { peers: READY, proxyLog: [], doctor: [] },

  absent: { peers: 'no answer', proxyLog: REFUSED, doctor: ['SUPERNODE_TCP'] },
  killed: { peers: 'no answer', proxyLog: REFUSED, doctor: ['SUPERNODE_TCP'] },
  frozen: { peers: 'no answer', proxyLog: [/^SUPERNODE_SILENT$/], doctor: ['SUPERNODE_HTTP'] },
  moved: { peers: 'no answer', proxyLog: REFUSED, doctor: ['SUPERNODE_TCP'] },
  two: { peers: READY, proxyLog: REFUSED, doctor: ['SUPERNODE_TCP'] },
  'half-open': { peers: GONE, proxyLog: [/^SUPERNODE_SILENT$/], doctor: ['SUPERNODE_HTTP'] },
  'not-hawker': { peers: GONE, proxyLog: [/^SUPERNODE_NOT_HAWKER$/], doctor: ['SUPERNODE_HTTP'] },
  slow: { peers: READY, proxyLog: [], doctor: [] },
  'too-slow': { peers: GONE, proxyLog: [/^SUPERNODE_SILENT$/], doctor: ['SUPERNODE_HTTP'] },

  nxdomain: { peers: 'absent', proxyLog: [/^SUPERNODE_UNRESOLVED$/], doctor: ['SUPERNODE_NAME'] },
  'dns-silent': { peers: 'absent', proxyLog: [/^SUPERNODE_UNRESOLVED$/], doctor: ['SUPERNODE_NAME'] },
  'dead-address': { peers: READY, proxyLog: [], doctor: [] },

  '6789-drop': { peers: GONE, proxyLog: DROPPED, doctor: ['SUPERNODE_TCP'] },
  '6789-drop-at': { peers: 'absent', proxyLog: DROPPED, doctor: ['SUPERNODE_TCP'] },
  '6789-reject': { peers: GONE, proxyLog: REFUSED, doctor: ['SUPERNODE_TCP'] },
  '6789-one-way': { peers: GONE, proxyLog: DROPPED, doctor: ['SUPERNODE_TCP'] },

  'wrong-secret': { peers: { rejected: 'NOT_A_MEMBER' }, ...refused('NOT_A_MEMBER'), doctor: ['MEMBERSHIP'] },
  'no-secret': { peers: { rejected: 'NOT_A_MEMBER' }, ...refused('NOT_A_MEMBER'), doctor: ['MEMBERSHIP'] },
  'other-major': {
    peers: { rejected: 'PROTOCOL_VERSION' },
    ...refused('PROTOCOL_VERSION'),
    doctor: ['SUPERNODE_PROTOCOL'],
  },
  'other-minor': { peers: READY, proxyLog: [/^PROTOCOL_VERSION_DIFFERS$/], doctor: [] },
  'copied-id': { peers: { rejected: 'DUPLICATE_ID' }, ...refused('DUPLICATE_ID'), doctor: ['SESSION'] },
  // It does not start: its last words are no log line, and have no code.
  'no-port': { peers: 'absent', proxyLog: [/^$/], doctor: ['CONFIG'] },
  unspecified: { peers: 'absent', proxyLog: [/^$/], doctor: ['CONFIG'] },
  'wrong-host': { peers: unreachable(/another peer answers/), ...UNREACHABLE, doctor: ['DIAL_BACK'] },

  'piece-drop': { peers: unreachable(/packets are dropped/), ...UNREACHABLE, doctor: ['DIAL_BACK'] },
  'piece-reject': { peers: unreachable(/ECONNREFUSED/), ...UNREACHABLE, doctor: ['DIAL_BACK'] },
  'piece-closes': { peers: unreachable(/packets are dropped/), ...UNREACHABLE, doctor: ['DIAL_BACK'] },
  'piece-policy': { peers: READY, proxyLog: [], doctor: [] },
  pair: { peers: READY, proxyLog: [], doctor: [] },

  'node-frozen': {
    peers: { state: /^(?:stale|left)$/ },
    proxyLog: [],
    supernodeLog: [/^PEER_STALE$/],
    doctor: ['PROXY_API'],
  },
  'node-killed': { peers: { state: /^left$/, reason: /process was killed/ }, proxyLog: [], doctor: ['PROXY_API'] },
  clock: { peers: READY, proxyLog: [], doctor: ['CLOCK'] },
  'small-disk': { peers: READY, proxyLog: [], doctor: ['STORE_SPACE'] },
};
