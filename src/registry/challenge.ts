/** One challenge of a `WWW-Authenticate` header. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** By name in lower case; the first wins where one is repeated. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;
const SPACE = /[ \t]*/y;
/** Some registries leave URLs unquoted, which is no token: taken up to the next comma. */
const BARE_VALUE = /[^\s,"]+/y;
/** Far more than any registry sends; what comes after is not read. */
const MAX_CHALLENGES = 32;

/**
 * Parses `WWW-Authenticate` (RFC 9110, 11.6.1): several headers, several challenges in one, quoted commas and escapes,
 * schemes and names in any case. Never throws: what cannot be understood ends that header's list.
 */
export function parseChallenges(headers: string | readonly string[] | undefined): Challenge[] {
  const lines = headers === undefined ? [] : typeof headers === 'string' ? [headers] : headers;
  return lines.flatMap((line) => new HeaderReader(line).challenges()).slice(0, MAX_CHALLENGES);
}

/** A `Bearer` challenge as a registry sends it (distribution's token spec). */
export function formatChallenge(request: {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
}): string {
  const parts = [
    ['realm', request.realm.href],
    ['service', request.service ?? ''],
    ['scope', request.scope],
  ].filter(([, value]) => value !== '');
  return `Bearer ${parts.map(([name, value]) => `${name}="${quotable(value!)}"`).join(',')}`;
}

/** What may stand in a quoted string, and in a header at all (RFC 9110, 5.6.4). */
function quotable(text: string): string {
  return text.replaceAll(/[^\t\x20-\x7E]/g, '').replaceAll(/["\\]/g, String.raw`\$&`);
}

class HeaderReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  challenges(): Challenge[] {
    const found: { scheme: string; parameters: Map<string, string> }[] = [];
    while (found.length < MAX_CHALLENGES) {
      this.#skipCommas();
      const word = this.#take(TOKEN);
      if (word === undefined) return found;
      const current = found.at(-1);
      const value = this.#valueAfterEquals();
      if (value !== undefined && current) {
        const name = word.toLowerCase();
        if (!current.parameters.has(name)) current.parameters.set(name, value);
      } else if (value === undefined) {
        found.push({ scheme: word.toLowerCase(), parameters: new Map() });
        this.#skipToken68();
      } else return found;
    }
    return found;
  }

  /** `= value` or `="quoted"`; undefined, with nothing taken, where no `=` follows. */
  #valueAfterEquals(): string | undefined {
    const start = this.#at;
    this.#take(SPACE);
    if (this.#text[this.#at] !== '=') {
      this.#at = start;
      return undefined;
    }
    this.#at += 1;
    this.#take(SPACE);
    return this.#text[this.#at] === '"' ? this.#quoted() : (this.#take(BARE_VALUE) ?? '');
  }

  #quoted(): string {
    let value = '';
    for (this.#at += 1; this.#at < this.#text.length; this.#at += 1) {
      const character = this.#text[this.#at]!;
      if (character === '"') {
        this.#at += 1;
        return value;
      }
      if (character === '\\') this.#at += 1;
      value += this.#text[this.#at] ?? '';
    }
    return value;
  }

  /** `Negotiate YII…==` holds data instead of parameters. */
  #skipToken68(): void {
    const start = this.#at;
    this.#take(SPACE);
    const data = this.#at > start ? this.#take(TOKEN68) : undefined;
    if (data === undefined) this.#at = start;
  }

  #skipCommas(): void {
    this.#take(SPACE);
    while (this.#text[this.#at] === ',') {
      this.#at += 1;
      this.#take(SPACE);
    }
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (!match) return undefined;
    this.#at += match[0].length;
    return match[0];
  }
}
