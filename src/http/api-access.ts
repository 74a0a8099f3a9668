import { createHash, timingSafeEqual } from 'node:crypto';

/** What opens an API that other machines can reach: of each kind one, two while it is being replaced, or none. Secrets: never logged. */
export interface ApiTokens {
  /** Ask and command. */
  readonly operator: readonly string[];
  /** Only ask. */
  readonly reader: readonly string[];
}

/** `needed`: the request carries no token; `wrong`: not one of these, or one that is not enough for what it asks. */
export type Access = 'granted' | 'needed' | 'wrong';

const ASKS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/**
 * Whether a request may be answered. The token comes as `Bearer` (RFC 6750), or, from a browser's own dialogue, as the password of
 * `Basic` under any name (RFC 7617). Compared by hash, so that the time taken says nothing.
 */
export class ApiAccess {
  #operator: readonly Buffer[] = [];
  #reader: readonly Buffer[] = [];

  constructor(tokens: ApiTokens) {
    this.change(tokens);
  }

  /** From now on these are the tokens; a kind that is left out stays as it is. Gives whether any is another than before. */
  change({ operator, reader }: Partial<ApiTokens>): boolean {
    const before = [this.#operator, this.#reader];
    if (operator) this.#operator = operator.map(hashOf);
    if (reader) this.#reader = reader.map(hashOf);
    return [this.#operator, this.#reader].some((now, kind) => !isSame(now, before[kind]!));
  }

  /** `isMember`: the connection has shown so itself, by a certificate of the cluster's CA. */
  of(method: string, authorization: string | undefined, isMember = false): Access {
    if (isMember && ASKS.has(method)) return 'granted';
    const token = tokenIn(authorization);
    if (token === undefined) return 'needed';
    const given = hashOf(token);
    const enough = ASKS.has(method) ? [...this.#operator, ...this.#reader] : this.#operator;
    return enough.some((one) => timingSafeEqual(one, given)) ? 'granted' : 'wrong';
  }
}

function tokenIn(authorization = ''): string | undefined {
  const [, scheme, value] = /^(Bearer|Basic) +(\S+) *$/i.exec(authorization) ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  if (scheme.toLowerCase() === 'bearer') return value;
  const text = Buffer.from(value, 'base64').toString();
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : text.slice(colon + 1);
}

function isSame(some: readonly Buffer[], others: readonly Buffer[]): boolean {
  return some.length === others.length && some.every((one, index) => one.equals(others[index]!));
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
