/*
 * Who belongs to the cluster: whoever has its join secret, or, while that is being replaced (docs/rotation.md), one of two. A member
 * proves itself with the first and takes proofs made with either, so that nodes that are one step of the rotation apart
 * are members to each other.
 */
import {
  MemberKeys,
  type PieceParties,
  type ReadingFacts,
  type SessionFacts,
  type WhoamiFacts,
} from './member-keys.ts';
import type { SecondRole, Secrets } from './secret-file.ts';

export type { PieceParties, SessionFacts } from './member-keys.ts';

/** A piece token is good for so long before and after its time, by the supernode's clock. */
export const TOKEN_VALID_MS = 5 * 60_000;
/** A nonce: 16 random bytes in base64url. */
export const NONCE_BYTES = 16;

const PIECE_TOKEN = /^1\.([0-9a-z-]{1,64})\.([0-9a-z]{1,10})\.([\w-]{43})$/;

/** The other secret that is accepted while one takes the other's place. */
interface Second {
  readonly keys: MemberKeys;
  readonly role: SecondRole;
}

/**
 * The proofs of one cluster's members. Holds keys: never log it. Without a secret (on loopback, where everybody may take part)
 * the keys are public: the proofs then only tell a mistaken peer from the right one.
 */
export class Membership {
  /** There is no secret: whoever can connect belongs to it. */
  readonly isOpen: boolean;
  #first: MemberKeys;
  #second: Second | undefined;
  readonly #listeners: (() => void)[] = [];

  constructor(secret: string | undefined, second?: Secrets['second']) {
    this.isOpen = secret === undefined;
    this.#first = new MemberKeys(secret);
    this.#second = second && { keys: new MemberKeys(second.secret), role: second.role };
  }

  /** What this member proves itself with. */
  get first(): MemberKeys {
    return this.#first;
  }

  /** What it accepts besides. */
  get second(): Second | undefined {
    return this.#second;
  }

  /** With one of them, any member may read the supernode's API: its own first. Empty where the cluster is open. */
  get readerTokens(): readonly string[] {
    return this.isOpen ? [] : this.#accepted().map(({ readerToken }) => readerToken);
  }

  /** Whether what was proved with these keys still counts. */
  accepts(keys: MemberKeys): boolean {
    return this.#accepted().includes(keys);
  }

  /**
   * From now on these are the secrets, for all that shares this object at once; who listens is told, if anything is new. Not for
   * an open cluster. Gives whether anything is.
   */
  change({ first, second }: Secrets): boolean {
    const known = (secret: string): MemberKeys => {
      const keys = new MemberKeys(secret);
      return this.#accepted().find((one) => one.isSame(keys)) ?? keys;
    };
    const next = { first: known(first), second: second && { keys: known(second.secret), role: second.role } };
    const isSame =
      next.first === this.#first &&
      next.second?.keys === this.#second?.keys &&
      next.second?.role === this.#second?.role;
    if (isSame) return false;
    this.#first = next.first;
    this.#second = next.second;
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** Calls `listener` after each change. It must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The proof that one side of a session gives to the other. */
  sessionProof(side: 'peer' | 'supernode', facts: SessionFacts): string {
    return this.#first.sessionProof(side, facts);
  }

  /** With which secret the other side of a session has proved itself; undefined: with none that is accepted. */
  proverOf(proof: string | undefined, side: 'peer' | 'supernode', facts: SessionFacts): MemberKeys | undefined {
    return this.#accepted().find((keys) => keys.isSessionProof(proof, side, facts));
  }

  /** Proves to whoever sent `nonce` to a piece port that `instance` of `peer` answers there. */
  whoamiProof(facts: WhoamiFacts): string {
    return this.#first.whoamiProof(facts);
  }

  isWhoamiProof(proof: string | undefined, facts: WhoamiFacts): boolean {
    return this.#accepted().some((keys) => keys.isWhoamiProof(proof, facts));
  }

  /** Proves that a member says so: a piece is checked by its digest, but a peer's word by nothing else. */
  readingProof(facts: ReadingFacts): string {
    return this.#first.readingProof(facts);
  }

  isReadingProof(proof: string | undefined, facts: ReadingFacts): boolean {
    return this.#accepted().some((keys) => keys.isReadingProof(proof, facts));
  }

  /** The token that opens a piece connection. `now`: milliseconds since 1970 by the supernode's clock. */
  pieceToken(parties: PieceParties, now: number): string {
    return this.#first.pieceToken(parties, Math.trunc(now).toString(36));
  }

  /**
   * Who asks, and the secret that it has, if the token was made for this sender and instance and its time is near `now`; undefined:
   * refuse.
   */
  checkPieceToken(
    token: string,
    self: { readonly sender: string; readonly instance: string },
    now: number,
  ): { readonly receiver: string; readonly keys: MemberKeys } | undefined {
    const match = PIECE_TOKEN.exec(token);
    if (!match) return undefined;
    const [, receiver, at, proof] = match as unknown as [string, string, string, string];
    const keys = this.#accepted().find((one) => one.isTokenProof(proof, { ...self, receiver }, at));
    if (!keys) return undefined;
    return Math.abs(Number.parseInt(at, 36) - now) <= TOKEN_VALID_MS ? { receiver, keys } : undefined;
  }

  #accepted(): readonly MemberKeys[] {
    return this.#second ? [this.#first, this.#second.keys] : [this.#first];
  }
}
