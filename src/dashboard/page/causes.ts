import type { PeerRow, RejectedRow, Snapshot } from './model.ts';

/** Something that keeps peers away, or from giving: who, why, and what to do about it. */
export interface Cause {
  readonly kind: 'rejected' | 'unreachable' | 'stale' | 'left';
  /** The code of a refusal; else ''. */
  readonly code: string;
  readonly todo: string;
  /** The latest first; `peer`: its id, where it has a page. */
  readonly who: readonly {
    readonly name: string;
    readonly peer: string;
    readonly why: string;
    readonly count: number;
  }[];
}

/** Said by the roster of one that took its leave. */
const STOPPED = 'it stopped';
const TESTED = 'its piece port is being tested';
const NO_ADDRESS = 'it advertises no address';

/** What the operator can do about a peer that is not ready; '' where it is. */
export function todoOf({ state, reason }: Pick<PeerRow, 'reason'> & { readonly state: string }): string {
  if (state === 'unreachable') {
    if (reason === TESTED) return 'nothing yet: that takes seconds';
    if (reason === NO_ADDRESS) return 'set peer.advertise on that node to an address that the other members can reach';
    return 'let the other members reach its piece port (a firewall?), or set peer.advertise on that node to an address that they can reach; until then it only downloads';
  }
  if (state === 'stale')
    return 'see whether that node runs, and its network; it is taken up again as soon as it is heard of';
  if (state !== 'left') return '';
  return reason === STOPPED
    ? 'nothing, if it was meant to; else start its proxy again'
    : 'see whether its proxy still runs: `hawker doctor` on that node names the first step that fails';
}

/**
 * What somebody should look at: all that keeps peers away while none is ready, else what is neither settled nor meant. A refusal is
 * settled when that host, or that peer, has become ready since.
 */
export function causesOf({ counts, peers, rejected }: Pick<Snapshot, 'counts' | 'peers' | 'rejected'>): Cause[] {
  const isAll = counts.ready === 0;
  const ready = readySince(peers);
  const open = rejected.filter((one) => isAll || (!isSettled(one, ready) && !one.todo.startsWith('nothing:')));
  const away = peers.filter(({ state, reason }) => {
    if (state === 'ready') return false;
    return isAll || (reason !== TESTED && !(state === 'left' && reason === STOPPED));
  });
  const causes = new Map<string, { kind: Cause['kind']; code: string; todo: string; who: Cause['who'][number][] }>();
  const add = (kind: Cause['kind'], code: string, todo: string, who: Cause['who'][number]) => {
    const key = `${kind} ${code} ${todo}`;
    const cause = causes.get(key) ?? { kind, code, todo, who: [] };
    causes.set(key, cause);
    cause.who.push(who);
  };
  for (const { code, todo, host, address, message, count } of open) {
    const name = host === '' ? address : `${host} (${address})`;
    add('rejected', code, todo, { name, peer: '', why: message, count });
  }
  for (const kind of ['unreachable', 'stale', 'left'] as const)
    for (const peer of latestFirst(away.filter(({ state }) => state === kind)))
      add(kind, '', todoOf(peer), { name: peer.host || peer.id, peer: peer.id, why: peer.reason, count: 1 });
  return [...causes.values()];
}

/** By host and by id (which have no place for a blank at the front): since when the last of them is ready. */
function readySince(peers: readonly PeerRow[]): ReadonlyMap<string, string> {
  const since = new Map<string, string>();
  for (const peer of peers) {
    if (peer.state !== 'ready') continue;
    for (const key of [` ${peer.host}`, peer.id]) if ((since.get(key) ?? '') < peer.since) since.set(key, peer.since);
  }
  return since;
}

function isSettled({ host, peer, at }: RejectedRow, ready: ReadonlyMap<string, string>): boolean {
  const after = (key: string) => (ready.get(key) ?? '') > at;
  return (host !== '' && after(` ${host}`)) || (peer !== '' && after(peer));
}

function latestFirst(peers: readonly PeerRow[]): PeerRow[] {
  return [...peers].sort((a, b) => (a.since < b.since ? 1 : a.since > b.since ? -1 : 0));
}
