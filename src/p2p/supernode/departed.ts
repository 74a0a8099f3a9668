import type { Member } from './member.ts';

/** Peers that have left are shown for so long, and so many at most. */
export const LEFT_KEPT_MS = 3_600_000;
export const MAX_LEFT = 1000;

/** Members that have left and are still shown, the longest ago first. */
export class Departed {
  readonly #members = new Set<Member>();

  /** `since` is when it left. */
  add(member: Member): void {
    this.#members.add(member);
  }

  /** It has come back. */
  delete(member: Member): void {
    this.#members.delete(member);
  }

  /** Those that are not to be shown any more, taken out. */
  *expired(now: number): Generator<Member> {
    for (const member of this.#members) {
      if (this.#members.size <= MAX_LEFT && now - member.since < LEFT_KEPT_MS) return;
      this.#members.delete(member);
      yield member;
    }
  }
}
