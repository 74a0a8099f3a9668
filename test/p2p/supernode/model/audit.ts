import { hasBit } from '../../../../src/p2p/supernode/bitmap.ts';
import type { Directory } from '../../../../src/p2p/supernode/directory.ts';
import { MAX_AVOIDED_PER_PEER } from '../../../../src/p2p/supernode/limits.ts';
import type { Blob, Member, Peer, Wish } from '../../../../src/p2p/supernode/state.ts';

/**
 * Counts anew all that a swarm keeps count of, and throws where a number is not what it should be. A slot that leaks, a claim that is
 * forgotten, a wish that nobody will look at again: each shows here at once, long before anything comes of it.
 */
export function audit(directory: Directory, now: number): void {
  let wishes = 0;
  for (const peer of directory.peers.values()) {
    auditPeer(directory, peer);
    wishes += peer.wishes.length;
  }
  same(directory.wishes, wishes, 'wishes');
  for (const blob of directory.blobs.values()) {
    if (blob.members.size === 0) throw new Error('a blob of nobody');
    if (blob.active !== blob.wishes.size > 0)
      throw new Error('a blob is active that nobody wants, or the other way round');
    same(directory.active.has(blob), blob.active, 'among the active blobs');
    if (blob.active) auditActive(blob, now);
    else auditIdle(blob);
  }
}

function auditPeer(directory: Directory, peer: Peer): void {
  const name = (what: string) => `${peer.id}: ${what}`;
  same(
    peer.downloads,
    sum(peer.wishes, (wish) => wish.transfers.length),
    name('downloads'),
  );
  let uploads = 0;
  for (const blob of directory.active.values()) {
    for (const wish of blob.wishes.values())
      uploads += wish.transfers.filter((transfer) => transfer.source === peer).length;
  }
  same(peer.uploads, uploads, name('uploads'));
  same(peer.wholes, peer.members.filter((member) => member.whole).length, name('wholes'));
  if (peer.avoided.size > MAX_AVOIDED_PER_PEER) throw new Error(name('avoids too many'));
  for (const [position, member] of peer.members.entries()) {
    same(member.position, position, name('the place of a member'));
    same(member.blob.members.get(peer.id), member, name('a part in a blob'));
    same(directory.blobs.get(member.blob.digest), member.blob, name('a blob'));
    same(peer.active.has(member), member.blob.active, name('active parts'));
    if (!member.holdsAny && !member.wish) throw new Error(name('a part in a blob that is none'));
  }
  same(peer.active.size, peer.members.filter(({ blob }) => blob.active).length, name('active parts'));
}

function auditActive(blob: Blob, now: number): void {
  const wishes = [...blob.wishes.values()];
  const count = blob.pieces?.count ?? 0;
  const members = [...blob.members.values()];
  same(
    sum(wishes, (wish) => wish.leases.length),
    blob.leases.length,
    'leases',
  );
  same(blob.lessees, wishes.filter((wish) => wish.leases.some((lease) => lease.isLive)).length, 'lessees');
  const readers = wishes.filter((wish) => wish.origin !== undefined && wish.awaited.length > 0);
  same(blob.readers, readers.length, 'readers');
  same(blob.sourceReaders, readers.filter((wish) => wish.peer.isSource).length, 'readers that are sources');
  const sources = members.filter((member) => blob.pieces !== undefined && member.peer.isSource);
  for (const member of members) auditMember(member, sources.includes(member), now);
  same(blob.wholes, sources.filter((member) => member.whole).length, 'sources with the whole blob');
  const parts = sources.filter((member) => !member.whole);
  for (let piece = 0; piece < count; piece += 1) {
    const at = (what: string) => `piece ${piece}: ${what}`;
    same(blob.holders[piece], parts.filter((member) => member.has(piece)).length, at('holders'));
    const flights = sum(wishes, (wish) => wish.transfers.filter((transfer) => transfer.piece === piece).length);
    same(blob.inFlight[piece], flights, at('copies on their way'));
    const claims = sum(wishes, (wish) => wish.leases.filter((lease) => lease.claims(piece)).length);
    same(blob.claims[piece], claims, at('claims'));
    if (piece < blob.cursor && !blob.isHeld(piece) && claims === 0)
      throw new Error(at('behind the cursor, and nobody has it'));
  }
  for (const wish of wishes) auditWish(wish, count);
  for (const zone of blob.freeByZone.values()) if (zone.size === 0) throw new Error('a zone of nobody');
}

function auditMember(member: Member, isSource: boolean, now: number): void {
  const { peer, blob } = member;
  same(member.counted, isSource, `${peer.id}: counted`);
  const hasFreeSlot = isSource && member.holdsAny && peer.busyUntil <= now && peer.uploads === 0;
  if (hasFreeSlot && !blob.free.has(member)) throw new Error(`${peer.id} has slots to give, and nobody will know`);
  if (blob.free.has(member) && !isSource) throw new Error(`${peer.id} is among those with slots, and is no source`);
}

function auditWish(wish: Wish, count: number): void {
  const { peer, member, blob } = wish;
  same(member.wish, wish, `${peer.id}: its wish`);
  if (wish.closed) throw new Error(`${peer.id}: a closed wish`);
  for (let piece = 0; piece < count; piece += 1) {
    const comes = wish.transfers.some((transfer) => transfer.piece === piece);
    const isRead = wish.leases.some((lease) => lease.claims(piece));
    const isDoubted = wish.doubted?.has(piece) === true;
    const isReadAgain = [...(blob.dispute?.reads.values() ?? [])].some(
      (read) => read.wish === wish && !read.isOver && read.first <= piece && piece <= read.last,
    );
    const flies = hasBit(wish.flying, piece);
    if ((comes || isDoubted) && !flies)
      throw new Error(`${peer.id}: piece ${piece} is on its way, and is not known to be`);
    // Otherwise nothing would ever be assigned to it for the piece.
    if (flies && !member.has(piece) && !(comes || isRead || isDoubted || isReadAgain))
      throw new Error(`${peer.id}: piece ${piece} is taken to be on its way, and is not`);
  }
}

function auditIdle(blob: Blob): void {
  const { leases, lessees, readers, sourceReaders, wholes, holders, free, freeByZone, hungry, dispute } = blob;
  const sizes = [
    leases.length,
    lessees,
    readers,
    sourceReaders,
    wholes,
    holders.length,
    free.size,
    freeByZone.size,
    hungry.size,
  ];
  if (sizes.some((size) => size !== 0) || dispute)
    throw new Error(`something is left of a blob that nobody wants: ${sizes.join()}`);
}

function sum<T>(list: readonly T[], of: (one: T) => number): number {
  return list.reduce((total, one) => total + of(one), 0);
}

function same<T>(actual: T, expected: T, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)}, and should be ${String(expected)}`);
}
