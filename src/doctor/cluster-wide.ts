import { bareHost } from '../base/bare-host.ts';
import type { Clock } from '../base/clock.ts';
import { formatTime } from '../base/units.ts';
import { isLoopback } from '../config/formats.ts';
import { compatibility } from '../p2p/protocol/compatibility.ts';
import type { Finding } from './check.ts';
import { NoOtherPeers, RegistrationsFail, VersionsDiffer } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped } from './findings.ts';
import { recent, RECENT_MS, type Rejected } from './registration.ts';
import type { Roster, SupernodeLook } from './supernodes.ts';

type Peer = Roster['peers'][number];

/** So many are named, more are counted. */
const MOST_NAMED = 5;

/** Program and protocol versions of all that are here: another minor is told, another major is a failure. */
export function checkVersions(supernode: SupernodeLook | undefined, clock: Clock): Finding {
  const about = { code: 'VERSIONS', title: 'versions across the cluster' };
  const { roster, protocol } = supernode ?? {};
  if (!roster || !supernode) return skipped(about, 'no supernode could be asked (above)');
  const here = roster.peers.filter(({ state }) => state !== 'left');
  const groups = new Map<string, string[]>([[versionText(supernode.version, protocol), ['the supernode']]]);
  for (const peer of here) {
    const key = versionText(peer.version, peer.protocol);
    groups.set(key, [...(groups.get(key) ?? []), nameOf(peer)]);
  }
  const seen = [...groups].map(([version, names]) => `${version}: ${some(names)}`).join('; ');
  const refused = recent(roster.rejected, clock).filter(({ code }) => code === 'PROTOCOL_VERSION');
  const apart = [
    ...here.filter((peer) => isApart(peer.protocol, protocol)).map(nameOf),
    ...refused.map(({ address, host, message }) => `${host || address} (${message})`),
  ];
  if (apart.length > 0) {
    const meaning = `${some(apart)} cannot take part: another major version of the protocol is refused`;
    return failedBy(about, new VersionsDiffer({ seen }), meaning);
  }
  return ok(
    about,
    groups.size === 1 ? `all the same: ${seen}` : `mixed, which works within one major version: ${seen}`,
  );
}

function versionText(version: string, protocol: string | undefined): string {
  return `${version}${protocol === undefined ? '' : ` (protocol ${protocol})`}`;
}

function isApart(proxy: string | undefined, supernode: string | undefined): boolean {
  return proxy !== undefined && supernode !== undefined && !compatibility({ proxy, supernode }).works;
}

/** What the supernode has refused of late, from whomever. */
export function checkRegistrations(supernode: SupernodeLook | undefined, clock: Clock): Finding {
  const about = { code: 'REGISTRATIONS', title: `registrations refused by ${supernode?.url.host ?? 'the supernode'}` };
  const { roster } = supernode ?? {};
  if (!roster) return skipped(about, 'no supernode could be asked (above)');
  const now = recent(roster.rejected, clock);
  const within = `within ${formatTime(RECENT_MS)}`;
  if (now.length === 0) {
    const before = roster.rejected.length === 0 ? '' : `; before that: ${byCode(roster.rejected)}`;
    return ok(about, `none ${within}${before}`);
  }
  const { address, code, message } = now[0]!;
  const seen = `${within}: ${byCode(now)}; the last one: ${address}, ${code}: ${message}`;
  const meaning = 'the nodes that are refused take no part in the swarm: `hawker peers` does not count them';
  return failedBy(about, new RegistrationsFail({ seen }), meaning);
}

/** `NOT_A_MEMBER 12 times from 10.0.0.7, 10.0.0.8` */
function byCode(rejected: readonly Rejected[]): string {
  const codes = new Map<string, { count: number; addresses: string[] }>();
  for (const { code, count, address } of rejected) {
    const before = codes.get(code) ?? { count: 0, addresses: [] };
    codes.set(code, { count: before.count + count, addresses: [...before.addresses, address] });
  }
  return [...codes]
    .map(([code, { count, addresses }]) => `${code} ${count === 1 ? 'once' : `${count} times`} from ${some(addresses)}`)
    .join('; ');
}

/** Whether there is anybody to fetch from. A supernode on loopback cannot have others, and is well without them. */
export function checkPeers(supernode: SupernodeLook | undefined, self: string | undefined, clock: Clock): Finding {
  const about = { code: 'PEERS', title: `other peers at ${supernode?.url.host ?? 'the supernode'}` };
  const { roster } = supernode ?? {};
  if (!roster || !supernode) return skipped(about, 'no supernode could be asked (above)');
  const others = roster.peers.filter(({ id }) => id !== self);
  const ready = others.filter(({ state }) => state === 'ready');
  const not = others.filter(({ state }) => state !== 'ready');
  const causes = [...not.map(whyNot), ...recent(roster.rejected, clock).map(refusedText)];
  if (ready.length > 0) {
    const missing = not.length === 0 ? '' : `; not ready: ${some(not.map(whyNot))}`;
    return ok(about, `${ready.length} ready${missing}`);
  }
  const isLocal = isLoopback(bareHost(supernode.url.hostname));
  const onlyLeft = not.every(({ state }) => state === 'left') && causes.length === not.length;
  if (isLocal && onlyLeft) {
    return ok(
      about,
      'none: this node is alone. (`hawker token` shows how others join, for a supernode that they can reach.)',
    );
  }
  const seen = causes.length === 0 ? 'nobody else has registered, or tried to' : some(causes);
  const meaning = 'there is nobody to fetch from: everything that this node pulls comes from the registries';
  return failedBy(about, new NoOtherPeers({ causes: seen }), meaning);
}

function whyNot(peer: Peer): string {
  return `${nameOf(peer)} is ${peer.state}${peer.reason === '' ? '' : ` (${peer.reason})`}`;
}

function refusedText({ address, code, message }: Rejected): string {
  return `${address} is refused (${code}: ${message})`;
}

function nameOf({ host, id, addresses }: Peer): string {
  const name = host === '' ? id.slice(0, 8) : host;
  return addresses[0] === undefined ? name : `${name} at ${addresses[0]}`;
}

function some(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return more > 0 ? `${names.slice(0, MOST_NAMED).join(', ')} and ${more} more` : names.join(', ');
}
