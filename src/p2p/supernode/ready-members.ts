import { Bag } from './bag.ts';
import type { Member } from './member.ts';
import type { PeerId } from './events.ts';

/** The members that can be asked for pieces, by zone. */
export class ReadyMembers {
  readonly #random: () => number;
  readonly #all = new Bag<Member>();
  readonly #byZone = new Map<string, Bag<Member>>();

  constructor(random: () => number) {
    this.#random = random;
  }

  add(member: Member): void {
    const { zone } = member.registration;
    let near = this.#byZone.get(zone);
    if (!near) this.#byZone.set(zone, (near = new Bag<Member>()));
    near.add(member);
    this.#all.add(member);
  }

  /** Before its registration, and with it its zone, changes. */
  delete(member: Member): void {
    const { zone } = member.registration;
    const near = this.#byZone.get(zone);
    near?.delete(member);
    if (near?.size === 0) this.#byZone.delete(zone);
    this.#all.delete(member);
  }

  /** Some of them, those of the zone first. */
  some(zone: string, except: PeerId, limit: number): Member[] {
    const chosen = new Set<Member>();
    for (const bag of [this.#byZone.get(zone), this.#all]) {
      if (!bag) continue;
      const start = Math.floor(this.#random() * bag.size);
      // One more than the limit: the peer itself may be among them.
      for (let looked = 0; looked < Math.min(bag.size, limit + 1) && chosen.size < limit; looked += 1) {
        const member = bag.at((start + looked) % bag.size)!;
        if (member.registration.peer !== except) chosen.add(member);
      }
    }
    return [...chosen];
  }
}
