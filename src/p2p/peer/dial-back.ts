import type { Clock } from '../../base/clock.ts';
import type { FromSupernode, Message } from '../protocol/messages.ts';
import { SupernodeSilent } from './session-errors.ts';
import { VISIT_MS, type SessionLink } from './session-link.ts';

/** What came of a supernode's attempt to reach a piece port: the address that answered, or why none did. */
export type DialBack =
  { readonly address: string; readonly error?: undefined } | { readonly address?: undefined; readonly error: string };

interface Asked {
  readonly resolve: (result: DialBack) => void;
  readonly reject: (error: Error) => void;
}

/** The questions of one proxy to its supernode whether its piece port can be reached. */
export class DialBacks {
  readonly #clock: Clock;
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rejects with SUPERNODE_SILENT, or with what `lost` is told. */
  async ask(link: SessionLink): Promise<DialBack> {
    this.#last += 1;
    const n = this.#last;
    let cancel = (): void => undefined;
    const answer = new Promise<DialBack>((resolve, reject) => {
      this.#asked.set(n, { resolve, reject });
      cancel = this.#clock.after(VISIT_MS, () => {
        reject(new SupernodeSilent({ address: link.address, waitedMs: VISIT_MS, step: 'test' }));
      });
      link.send({ t: 'test', n });
    });
    return answer.finally(() => {
      cancel();
      this.#asked.delete(n);
    });
  }

  answered({ n, ...result }: Message<FromSupernode, 'tested'>): void {
    this.#asked.get(n)?.resolve(dialBackOf(result));
  }

  /** The session has ended. */
  lost(error: Error): void {
    for (const { reject } of this.#asked.values()) reject(error);
  }
}

export function dialBackOf({ address, error }: { address?: string; error?: string }): DialBack {
  return address === undefined ? { error: error ?? 'no reason was given' } : { address };
}
