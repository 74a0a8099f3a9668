import { describeError } from '../../base/errors.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import { askWhoami, type WhoamiAnswer } from '../protocol/whoami.ts';

/** Addresses that are dialed for a supernode at the same time. */
const MAX_DIALS = 8;
const MAX_ERROR_CHARACTERS = 300;

export type Ask = (address: string, nonce: string) => Promise<WhoamiAnswer>;

/** Tries whether this proxy can reach another one, for a supernode that cannot. */
export class DialForOthers {
  readonly #ask: Ask;
  #dials = 0;

  constructor(ask: Ask = askWhoami) {
    this.#ask = ask;
  }

  /** Never rejects. */
  async dial({ n, nonce, addresses }: Message<FromSupernode, 'dial'>): Promise<Message<FromProxy, 'dialed'>> {
    if (this.#dials >= MAX_DIALS) return { t: 'dialed', n, error: 'this proxy tries too many already' };
    this.#dials += 1;
    try {
      const { address, proof } = await Promise.any(
        addresses.map(async (address) => ({ address, ...(await this.#ask(address, nonce)) })),
      );
      return { t: 'dialed', n, address, proof };
    } catch (error) {
      const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
      const why = errors.map(describeError).join('; ') || 'it advertises no address';
      return { t: 'dialed', n, error: why.slice(0, MAX_ERROR_CHARACTERS) };
    } finally {
      this.#dials -= 1;
    }
  }
}
