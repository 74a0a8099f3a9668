import { randomBytes } from 'node:crypto';
import { digestOf } from '../../src/base/digest.ts';
import { MiB } from '../../src/base/units.ts';
import type { Membership } from '../../src/p2p/protocol/membership.ts';
import type { FromProxy, FromSupernode, Message } from '../../src/p2p/protocol/messages.ts';
import { packCrcs } from '../../src/p2p/protocol/packed.ts';
import { PROTOCOL_VERSION } from '../../src/p2p/protocol/version.ts';
import { SESSION_PATH } from '../../src/p2p/supernode/upgrade.ts';
import { WebSocketClient } from './web-socket-client.ts';

/** What all members of one run count together. */
export interface Counts {
  open: number;
  closed: number;
  /** Pieces reported, and messages that carried them. */
  reports: number;
  messages: number;
  /** Pieces assigned. */
  assigned: number;
  /** Blobs that a member has got whole. */
  blobs: number;
  /** Members whose inventory the supernode has taken in. */
  announced: number;
}

export interface MemberOptions {
  readonly port: number;
  readonly membership: Membership;
  readonly number: number;
  readonly addresses: readonly string[];
  readonly pieces: number;
  /** Reports that fall due in one turn of the event loop go out as one message, as a proxy's do; else each as its own. */
  readonly together: boolean;
  readonly counts: Counts;
  /** Blobs that it has when it registers. */
  readonly blobs: number;
}

const PIECE_BYTES = 4 * MiB;
/** What it says that a piece took. */
const PIECE_MS = 40;

/** Nodes hold much the same images. */
const DIFFERENT_BLOBS = 1000;
/** As a layer of 64 MiB has. */
const HELD_PIECES = 64;
const CRCS = packCrcs(Array.from({ length: HELD_PIECES }, (_, i) => i * 0x01_00_01));

type HeldBlob = NonNullable<Message<FromProxy, 'announce'>['blobs']>[number];
const heldBlobs = new Map<number, HeldBlob>();

function blobOf(number: number): HeldBlob {
  const known = heldBlobs.get(number);
  if (known) return known;
  const blob: HeldBlob = [digestOf(`held ${number}`), HELD_PIECES * MiB, CRCS];
  heldBlobs.set(number, blob);
  return blob;
}

type Reports = Message<FromProxy, 'r'>;

/** One proxy, to the supernode: it registers, wants a blob, has each piece at once, and wants the next blob after that. */
export class Member {
  readonly peer: string;
  readonly instance = randomBytes(8).toString('hex');
  readonly #options: MemberOptions;
  readonly #socket: WebSocketClient;
  readonly #leases = new Map<number, { next: number; last: number }>();
  readonly #flush = (): void => this.#sendReports();
  #epoch = '';
  #wish = 0;
  #left = 0;
  #beats = 0;
  #reports: Reports | undefined;
  #announced = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.peer = `peer-${String(options.number).padStart(6, '0')}`;
    const { port, counts } = options;
    this.#socket = new WebSocketClient(
      { port, path: SESSION_PATH },
      {
        message: (text) => this.#take(JSON.parse(text) as FromSupernode),
        closed: () => {
          counts.closed += 1;
        },
      },
    );
  }

  end(): void {
    this.#socket.end();
  }

  beat(): void {
    this.#beats += 1;
    if (this.#epoch !== '') this.#send({ t: 'beat', n: this.#beats, time: Date.now() });
  }

  want(): void {
    const { pieces, number } = this.#options;
    this.#left = pieces;
    this.#leases.clear();
    this.#wish += 1;
    this.#send({
      t: 'want',
      epoch: this.#epoch,
      w: this.#wish,
      digest: digestOf(`blob ${this.#wish}`),
      size: pieces * PIECE_BYTES,
      held: '',
      // Not all readers stand at the same piece.
      awaited: [
        [number % 2, 0],
        [0, 1],
      ],
      origin: 'registry.example',
    });
  }

  /** One piece of each origin read has come. */
  readOrigin(): void {
    for (const [id, lease] of this.#leases) {
      this.#got(lease.next, 0);
      lease.next += 1;
      if (lease.next > lease.last) this.#ended(id);
    }
  }

  #take(message: FromSupernode): void {
    if (message.t === 'a') this.#assigned(message);
    else if (message.t === 'challenge') this.#hello(message);
    else if (message.t === 'welcome') this.#welcomed();
    else if (message.t === 'beat' && !this.#announced) {
      // What was sent before it has been taken in.
      this.#announced = true;
      this.#options.counts.announced += 1;
    }
  }

  #hello({ nonce, epoch }: Message<FromSupernode, 'challenge'>): void {
    const { membership, addresses } = this.#options;
    const { peer, instance } = this;
    this.#epoch = epoch;
    const peerNonce = randomBytes(16).toString('base64url');
    const facts = { supernodeNonce: nonce, peerNonce, epoch, peer, instance, addresses };
    this.#send({
      t: 'hello',
      protocol: PROTOCOL_VERSION,
      version: '1.0.0',
      peer,
      instance,
      host: `node-${peer}`,
      addresses: [...addresses],
      zone: '',
      uploadSlots: 4,
      nonce: peerNonce,
      proof: membership.sessionProof('peer', facts),
      time: Date.now(),
    });
  }

  #welcomed(): void {
    const { counts, blobs, number } = this.#options;
    counts.open += 1;
    if (blobs === 0) return;
    const held = Array.from({ length: blobs }, (_, i) => blobOf((number + i) % DIFFERENT_BLOBS));
    this.#send({ t: 'announce', epoch: this.#epoch, blobs: held });
    this.beat();
  }

  #assigned({ l, c, f }: Message<FromSupernode, 'a'>): void {
    for (const [wish, lease, last] of c ?? []) {
      const cut = wish === this.#wish ? this.#leases.get(lease) : undefined;
      if (!cut) continue;
      cut.last = last;
      if (cut.next > last) this.#ended(lease);
    }
    for (const [wish, lease, first, count] of l ?? []) {
      if (wish !== this.#wish) continue;
      this.#leases.set(lease, { next: first, last: count === 0 ? this.#options.pieces - 1 : first + count - 1 });
      this.#options.counts.assigned += 1;
    }
    for (const [wish, piece, from] of f ?? []) {
      if (wish !== this.#wish) continue;
      this.#options.counts.assigned += 1;
      this.#got(piece, from);
    }
  }

  #got(piece: number, from: number): void {
    const { counts, together } = this.#options;
    counts.reports += 1;
    this.#left -= 1;
    (this.#ready().p ??= []).push([this.#wish, piece, from, PIECE_MS, piece]);
    if (!together) this.#sendReports();
    if (this.#left > 0) return;
    counts.blobs += 1;
    this.#sendReports();
    this.#send({ t: 'leave', w: this.#wish });
    this.want();
  }

  #ended(lease: number): void {
    this.#leases.delete(lease);
    (this.#ready().e ??= []).push([this.#wish, lease, '', 0, 0]);
  }

  #ready(): Reports {
    if (!this.#reports) {
      this.#reports = { t: 'r' };
      setImmediate(this.#flush);
    }
    return this.#reports;
  }

  #sendReports(): void {
    if (!this.#reports) return;
    this.#options.counts.messages += 1;
    const reports = this.#reports;
    this.#reports = undefined;
    this.#send(reports);
  }

  #send(message: FromProxy): void {
    this.#socket.send(JSON.stringify(message));
  }
}
