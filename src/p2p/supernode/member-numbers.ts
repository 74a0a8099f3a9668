import type { Member } from './member.ts';

/** Numbers of one peer, whose addresses have changed so often, that others may still use. */
export const MAX_NUMBERS = 16;

/**
 * The numbers by which peers are introduced to each other. One means one instance at one set of addresses, and is never used for
 * anything else: who moves gets a new one, and is still known by those before it to whom they were told.
 */
export class MemberNumbers {
  readonly #members = new Map<number, Member>();
  #last = 0;

  find(number: number): Member | undefined {
    return this.#members.get(number);
  }

  /** The member has a new number from now on. */
  give(member: Member): void {
    this.#last += 1;
    member.number = this.#last;
    member.numbers.push(member.number);
    this.#members.set(member.number, member);
    if (member.numbers.length > MAX_NUMBERS) this.#members.delete(member.numbers.shift()!);
  }

  /** The member is not here any more: its numbers mean nobody. */
  retire(member: Member): void {
    for (const number of member.numbers) this.#members.delete(number);
  }
}
