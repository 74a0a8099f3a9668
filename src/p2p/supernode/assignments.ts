import { MAX_BATCH } from '../protocol/limits.ts';
import type { FromSupernode, Message } from '../protocol/messages.ts';
import type { Decision } from './events.ts';
import type { MemberView } from './roster-events.ts';

type Frame = Message<FromSupernode, 'a'>;
export type Assigning = Exclude<Extract<Decision, { digest: unknown }>, { kind: 'blamed' }>;

/** Introductions to one session that are remembered; beyond that they are made again. */
const MAX_INTRODUCED = 512;

/** The assignments for one session that have not been sent yet. */
export class Assignments {
  #frame: Frame = { t: 'a' };
  #largest = 0;
  #introduced: Set<number> | undefined;

  /** No more fit into the frame. */
  get isFull(): boolean {
    return this.#largest >= MAX_BATCH;
  }

  /** `wish` is the session's number of the blob, `source` the peer that it names. */
  add(decision: Assigning, wish: number, source: MemberView | undefined): void {
    const frame = this.#frame;
    switch (decision.kind) {
      case 'lease': {
        const { first, count } = decision.run;
        this.#grown((frame.l ??= []).push([wish, decision.lease, first, Number.isFinite(count) ? count : 0]));
        return;
      }
      case 'cut':
        this.#grown((frame.c ??= []).push([wish, decision.lease, decision.last]));
        return;
      case 'fetch':
        if (!source) return;
        this.#introduce(source);
        this.#grown((frame.f ??= []).push([wish, decision.piece, source.number, decision.crc32 ?? -1]));
        return;
      case 'read-again': {
        const { first, count } = decision.run;
        this.#grown((frame.q ??= []).push([wish, decision.lease, first, count]));
        return;
      }
      case 'second-reading':
        if (source) this.#introduce(source);
        this.#grown((frame.h ??= []).push([wish, decision.piece, source?.number ?? -1, decision.sha256]));
        return;
      case 'dispute':
        this.#grown((frame.o ??= []).push([wish, decision.isOver ? 1 : 0]));
        return;
      case 'wait':
        this.#grown((frame.w ??= []).push(wish));
        return;
      case 'none':
        this.#grown((frame.n ??= []).push([wish, decision.reason === 'alone' ? 1 : 0, decision.code ?? '']));
    }
  }

  /** What is to be sent, taken out. */
  take(): Frame {
    const frame = this.#frame;
    this.#frame = { t: 'a' };
    this.#largest = 0;
    return frame;
  }

  #introduce({ number, registration, addresses }: MemberView): void {
    this.#introduced ??= new Set();
    if (this.#introduced.has(number)) return;
    if (this.#introduced.size >= MAX_INTRODUCED) this.#introduced.clear();
    this.#introduced.add(number);
    (this.#frame.p ??= []).push([number, registration.peer, registration.instance, [...addresses]]);
  }

  #grown(length: number): void {
    if (length > this.#largest) this.#largest = length;
  }
}
