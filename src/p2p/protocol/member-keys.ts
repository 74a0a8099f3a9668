/*
 * What one join secret proves. It never crosses the wire and is used for nothing itself: a key for each purpose is derived from
 * it (HKDF, RFC 5869), and each proof is an HMAC-SHA-256 over a label and fields that are told apart by their lengths, so that no
 * proof can be taken for another.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

const KEY_BYTES = 32;
const TOKEN_VERSION = '1';

/** What both sides of a session have said when they prove themselves. */
export interface SessionFacts {
  readonly supernodeNonce: string;
  readonly peerNonce: string;
  readonly epoch: string;
  readonly peer: string;
  readonly instance: string;
  readonly addresses: readonly string[];
}

/** Who asks whom for pieces: `receiver` asks the running `instance` of `sender`. */
export interface PieceParties {
  readonly sender: string;
  readonly receiver: string;
  /** Of the sender. */
  readonly instance: string;
}

/** Who answers at a piece port, to whoever asked with `nonce`. */
export interface WhoamiFacts {
  readonly nonce: string;
  readonly peer: string;
  readonly instance: string;
}

/** What a peer says of a blob or manifest that it has read, to whoever asked with `nonce`. */
export interface ReadingFacts extends WhoamiFacts {
  readonly registry: string;
  readonly repository: string;
  readonly digest: string;
  /** The rest of what it says, as it stands in the answer. */
  readonly said: string;
}

/** The keys of one join secret: never log them. Without a secret they are public. */
export class MemberKeys {
  readonly #session: Buffer;
  readonly #pieces: Buffer;
  readonly #whoami: Buffer;
  readonly #readings: Buffer;
  readonly #reader: Buffer;

  constructor(secret: string | undefined) {
    this.#reader = derive(secret, 'reader');
    this.#session = derive(secret, 'session');
    this.#pieces = derive(secret, 'pieces');
    this.#whoami = derive(secret, 'whoami');
    this.#readings = derive(secret, 'readings');
  }

  /** With it, any member may read the supernode's API. Made when it is asked for: as a text it would be in memory all the time. */
  get readerToken(): string {
    return this.#reader.toString('base64url');
  }

  /** Whether both are of the same secret. */
  isSame(other: MemberKeys): boolean {
    return timingSafeEqual(this.#session, other.#session);
  }

  /** The proof that one side of a session gives to the other. */
  sessionProof(side: 'peer' | 'supernode', facts: SessionFacts): string {
    const { supernodeNonce, peerNonce, epoch, peer, instance, addresses } = facts;
    return mac(this.#session, [side, supernodeNonce, peerNonce, epoch, peer, instance, ...addresses]);
  }

  isSessionProof(proof: string | undefined, side: 'peer' | 'supernode', facts: SessionFacts): boolean {
    return isSame(proof, this.sessionProof(side, facts));
  }

  whoamiProof({ nonce, peer, instance }: WhoamiFacts): string {
    return mac(this.#whoami, [nonce, peer, instance]);
  }

  isWhoamiProof(proof: string | undefined, facts: WhoamiFacts): boolean {
    return isSame(proof, this.whoamiProof(facts));
  }

  readingProof({ nonce, peer, instance, registry, repository, digest, said }: ReadingFacts): string {
    return mac(this.#readings, [nonce, peer, instance, registry, repository, digest, said]);
  }

  isReadingProof(proof: string | undefined, facts: ReadingFacts): boolean {
    return isSame(proof, this.readingProof(facts));
  }

  /** `at`: the token's time, as it stands in it. */
  pieceToken(parties: PieceParties, at: string): string {
    return [TOKEN_VERSION, parties.receiver, at, this.#tokenMac(parties, at)].join('.');
  }

  isTokenProof(proof: string, parties: PieceParties, at: string): boolean {
    return isSame(proof, this.#tokenMac(parties, at));
  }

  #tokenMac({ sender, receiver, instance }: PieceParties, at: string): string {
    return mac(this.#pieces, [TOKEN_VERSION, sender, receiver, instance, at]);
  }
}

function derive(secret: string | undefined, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret ?? '', 'hawker', `hawker 1 ${purpose}`, KEY_BYTES));
}

function mac(key: Buffer, fields: readonly string[]): string {
  const hmac = createHmac('sha256', key);
  for (const field of fields) hmac.update(`${Buffer.byteLength(field)}:${field},`);
  return hmac.digest('base64url');
}

function isSame(given: string | undefined, expected: string): boolean {
  const a = Buffer.from(given ?? '');
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
}
