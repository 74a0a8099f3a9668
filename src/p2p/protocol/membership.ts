/*
 * Who belongs to the cluster. All members share one join secret; it never crosses the wire and is used for nothing itself:
 * keys for four purposes are derived from it (HKDF, RFC 5869), and each proof is an HMAC-SHA-256 over a label and fields that
 * are told apart by their lengths, so that no proof can be taken for another.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { open } from 'node:fs/promises';
import { describeError } from '../../base/errors.ts';
import { SecretUnusable } from './errors.ts';

export const MIN_SECRET_CHARACTERS = 32;
export const MAX_SECRET_CHARACTERS = 1024;
/** A piece token is good for so long before and after its time, by the supernode's clock. */
export const TOKEN_VALID_MS = 5 * 60_000;
/** A nonce: 16 random bytes in base64url. */
export const NONCE_BYTES = 16;

const KEY_BYTES = 32;
const TOKEN_VERSION = '1';
const FOR_OTHERS = 0o077;

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

/** What a peer says of a blob or manifest that it has read, to whoever asked with `nonce`. */
export interface ReadingFacts {
  readonly nonce: string;
  readonly peer: string;
  readonly instance: string;
  readonly registry: string;
  readonly repository: string;
  readonly digest: string;
  /** The rest of what it says, as it stands in the answer. */
  readonly said: string;
}

/**
 * The proofs of one cluster's members. Holds keys: never log it. Without a secret (on loopback, where everybody may take part)
 * the keys are public: the proofs then only tell a mistaken peer from the right one.
 */
export class Membership {
  /** There is no secret: whoever can connect belongs to it. */
  readonly isOpen: boolean;
  /** With it, any member may read the supernode's API; undefined where the cluster is open. */
  readonly readerToken: string | undefined;
  readonly #sessionKey: Buffer;
  readonly #pieceKey: Buffer;
  readonly #whoamiKey: Buffer;
  readonly #readingKey: Buffer;

  constructor(secret: string | undefined) {
    this.isOpen = secret === undefined;
    this.readerToken = secret === undefined ? undefined : derive(secret, 'reader').toString('base64url');
    this.#sessionKey = derive(secret, 'session');
    this.#pieceKey = derive(secret, 'pieces');
    this.#whoamiKey = derive(secret, 'whoami');
    this.#readingKey = derive(secret, 'readings');
  }

  /** The proof that one side of a session gives to the other. */
  sessionProof(side: 'peer' | 'supernode', facts: SessionFacts): string {
    return mac(this.#sessionKey, [
      side,
      facts.supernodeNonce,
      facts.peerNonce,
      facts.epoch,
      facts.peer,
      facts.instance,
      ...facts.addresses,
    ]);
  }

  isSessionProof(proof: string | undefined, side: 'peer' | 'supernode', facts: SessionFacts): boolean {
    return isSame(proof, this.sessionProof(side, facts));
  }

  /** Proves to whoever sent `nonce` to a piece port that `instance` of `peer` answers there. */
  whoamiProof(facts: { readonly nonce: string; readonly peer: string; readonly instance: string }): string {
    return mac(this.#whoamiKey, [facts.nonce, facts.peer, facts.instance]);
  }

  isWhoamiProof(
    proof: string | undefined,
    facts: { readonly nonce: string; readonly peer: string; readonly instance: string },
  ): boolean {
    return isSame(proof, this.whoamiProof(facts));
  }

  /** Proves that a member says so: a piece is checked by its digest, but a peer's word by nothing else. */
  readingProof({ nonce, peer, instance, registry, repository, digest, said }: ReadingFacts): string {
    return mac(this.#readingKey, [nonce, peer, instance, registry, repository, digest, said]);
  }

  isReadingProof(proof: string | undefined, facts: ReadingFacts): boolean {
    return isSame(proof, this.readingProof(facts));
  }

  /** The token that opens a piece connection. `now`: milliseconds since 1970 by the supernode's clock. */
  pieceToken(parties: PieceParties, now: number): string {
    const at = Math.trunc(now).toString(36);
    return [TOKEN_VERSION, parties.receiver, at, this.#tokenMac(parties, at)].join('.');
  }

  /** Who asks, if the token was made for this sender and instance and its time is near `now`; undefined: refuse. */
  checkPieceToken(
    token: string,
    self: { readonly sender: string; readonly instance: string },
    now: number,
  ): { readonly receiver: string } | undefined {
    const match = /^1\.([0-9a-z-]{1,64})\.([0-9a-z]{1,10})\.([\w-]{43})$/.exec(token);
    if (!match) return undefined;
    const [, receiver, at, proof] = match as unknown as [string, string, string, string];
    if (!isSame(proof, this.#tokenMac({ ...self, receiver }, at))) return undefined;
    return Math.abs(Number.parseInt(at, 36) - now) <= TOKEN_VALID_MS ? { receiver } : undefined;
  }

  #tokenMac({ sender, receiver, instance }: PieceParties, at: string): string {
    return mac(this.#pieceKey, [TOKEN_VERSION, sender, receiver, instance, at]);
  }
}

/**
 * Reads a secret file: one line of 32 characters or more, that nobody but its owner can read. Throws SECRET_UNUSABLE, which
 * says what is wrong with it and nothing of what is in it.
 */
export async function readSecretFile(path: string): Promise<string> {
  const unusable = (why: string, cause?: unknown) => new SecretUnusable({ path, why }, { cause });
  let text: string;
  try {
    const file = await open(path, 'r');
    try {
      const { mode } = await file.stat();
      if ((mode & FOR_OTHERS) !== 0)
        throw unusable(`others than its owner may use it (mode 0${(mode & 0o777).toString(8)})`);
      const buffer = Buffer.alloc(MAX_SECRET_CHARACTERS + 2);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      text = buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof SecretUnusable ? error : unusable(describeError(error), error);
  }
  const secret = text.replace(/\r?\n$/, '');
  if (/[\r\n]/.test(secret)) throw unusable('it has more than one line');
  if (secret.length < MIN_SECRET_CHARACTERS)
    throw unusable(`its line has less than ${MIN_SECRET_CHARACTERS} characters`);
  if (secret.length > MAX_SECRET_CHARACTERS)
    throw unusable(`its line has more than ${MAX_SECRET_CHARACTERS} characters`);
  return secret;
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
