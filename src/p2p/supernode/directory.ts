import type { Digest } from '../../base/digest.ts';
import { Pieces } from '../../base/pieces.ts';
import { Bag } from './bag.ts';
import { addFree, removeFree } from './choice.ts';
import type { PeerId } from './events.ts';
import { recount } from './holders.ts';
import {
  MAX_BLOBS,
  MAX_BLOBS_PER_PEER,
  MAX_PARTS,
  MAX_PEERS,
  MAX_PEERS_PER_BLOB,
  MAX_PIECES,
  MAX_PIECES_OVERALL,
  MAX_PIECES_PER_PEER,
  MAX_WISHES_PER_PEER,
} from './limits.ts';
import { Blob, Image, Member, Peer, Wish } from './state.ts';

/** Which peers and blobs there are, and who has to do with what; within limits. */
export class Directory {
  readonly peers = new Map<PeerId, Peer>();
  readonly blobs = new Map<Digest, Blob>();
  /** The blobs that somebody wants. */
  readonly active = new Bag<Blob>();
  readonly #images = new Map<string, Image>();
  readonly #maxParts: number;
  #parts = 0;
  /** Of all blobs whose size is known. */
  #pieces = 0;
  #wishes = 0;

  constructor(maxParts = MAX_PARTS) {
    this.#maxParts = maxParts;
  }

  get wishes(): number {
    return this.#wishes;
  }

  /** Undefined: there are too many. */
  peerOrNew(id: PeerId): Peer | undefined {
    const known = this.peers.get(id);
    if (known) return known;
    if (this.peers.size >= MAX_PEERS) return undefined;
    const peer = new Peer(id);
    this.peers.set(id, peer);
    return peer;
  }

  /** The peer's part in the blob, a new one if need be. Undefined: a limit is reached. */
  memberOrNew(peer: Peer, digest: Digest): Member | undefined {
    const known = this.blobs.get(digest);
    const member = known?.members.get(peer.id);
    if (member) return member;
    if (peer.members.length >= MAX_BLOBS_PER_PEER || this.#parts >= this.#maxParts) return undefined;
    if (known?.pieces && peer.pieces + known.pieces.count > MAX_PIECES_PER_PEER) return undefined;
    if (known ? known.members.size >= MAX_PEERS_PER_BLOB : this.blobs.size >= MAX_BLOBS) return undefined;
    const blob = known ?? new Blob(digest);
    this.blobs.set(digest, blob);
    return this.#join(peer, blob);
  }

  /** Forgets a peer's part in a blob, and the blob with the last one. */
  remove(member: Member): void {
    const { peer, blob } = member;
    removeFree(member);
    if (member.whole) peer.wholes -= 1;
    member.whole = false;
    peer.active.delete(member);
    blob.members.delete(peer.id);
    this.#parts -= 1;
    peer.pieces -= blob.pieces?.count ?? 0;
    const last = peer.members.pop()!;
    if (last !== member) {
      peer.members[member.position] = last;
      last.position = member.position;
    }
    if (blob.members.size > 0) return;
    this.blobs.delete(blob.digest);
    this.#pieces -= blob.pieces?.count ?? 0;
  }

  /** `peer` says so. Gives why it is not believed: it contradicts what is known, or there are too many pieces; undefined: it is. */
  learnSize(blob: Blob, size: number, peer: Peer): 'SIZE_CONFLICT' | 'LIMIT_REACHED' | undefined {
    if (blob.pieces) return blob.pieces.blobSize === size ? undefined : 'SIZE_CONFLICT';
    if (!Number.isSafeInteger(size) || size < 0) return 'SIZE_CONFLICT';
    const pieces = new Pieces(size);
    if (pieces.count > MAX_PIECES) return 'SIZE_CONFLICT';
    // Not the other members' pieces: one that is at its limit would keep everybody from the blob.
    if (peer.pieces + pieces.count > MAX_PIECES_PER_PEER) return 'LIMIT_REACHED';
    if (this.#pieces + pieces.count > MAX_PIECES_OVERALL) return 'LIMIT_REACHED';
    this.#pieces += pieces.count;
    for (const member of blob.members.values()) member.peer.pieces += pieces.count;
    blob.pieces = pieces;
    blob.allocate();
    for (const wish of blob.wishes.values()) wish.size();
    for (const member of blob.members.values()) recount(member);
    return undefined;
  }

  /** Undefined: the peer wants too many blobs. */
  openWish(member: Member): Wish | undefined {
    const { peer, blob } = member;
    if (peer.wishes.length >= MAX_WISHES_PER_PEER) return undefined;
    const wish = new Wish(member);
    member.wish = wish;
    wish.size();
    peer.wishes.push(wish);
    if (blob.wishes.size === 0) this.#activate(blob);
    blob.wishes.add(wish);
    this.#wishes += 1;
    return wish;
  }

  closeWish(wish: Wish): void {
    const { peer, blob, member } = wish;
    wish.closed = true;
    member.wish = undefined;
    this.setImage(wish, undefined);
    peer.wishes.splice(peer.wishes.indexOf(wish), 1);
    blob.wishes.delete(wish);
    blob.hungry.delete(wish);
    this.#wishes -= 1;
    if (blob.wishes.size === 0) this.#deactivate(blob);
  }

  /** Notes for which image the wish's blob is wanted. */
  setImage(wish: Wish, name: string | undefined): void {
    const { blob, image: before } = wish;
    const image = name === undefined ? undefined : (this.#images.get(name) ?? new Image(name));
    if (image === before) return;
    if (before) {
      const count = before.blobs.get(blob)! - 1;
      if (count > 0) before.blobs.set(blob, count);
      else before.blobs.delete(blob);
      if (before.blobs.size === 0) this.#images.delete(before.name);
    }
    if (image) {
      this.#images.set(image.name, image);
      image.blobs.set(blob, (image.blobs.get(blob) ?? 0) + 1);
    }
    wish.image = image;
  }

  #join(peer: Peer, blob: Blob): Member {
    const member = new Member(peer, blob);
    member.position = peer.members.length;
    peer.members.push(member);
    this.#parts += 1;
    peer.pieces += blob.pieces?.count ?? 0;
    blob.members.set(peer.id, member);
    if (blob.active) this.#activateMember(member);
    return member;
  }

  #activate(blob: Blob): void {
    blob.activate();
    this.active.add(blob);
    for (const member of blob.members.values()) this.#activateMember(member);
  }

  #activateMember(member: Member): void {
    member.peer.active.add(member);
    recount(member);
    if (member.counted && member.holdsAny) addFree(member);
  }

  #deactivate(blob: Blob): void {
    this.active.delete(blob);
    for (const member of blob.members.values()) {
      member.counted = false;
      member.peer.active.delete(member);
      removeFree(member);
    }
    blob.deactivate();
  }
}
