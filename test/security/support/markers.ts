import { randomBytes } from 'node:crypto';

/** What every marked secret begins with: rare enough to be looked for alone. */
const PREFIX = 'Mk7Qx9Wz4';
const SHOWN = 60;

const base64Of = (text: string, before: number): string => {
  const whole = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]).toString('base64');
  // Characters that hold bits of what is before or behind it are not the same everywhere.
  return whole.slice(Math.ceil((before * 8) / 6), Math.floor(((before + text.length) * 8) / 6));
};
const escaped = (text: string, escape: (byte: string) => string): string =>
  [...Buffer.from(text)].map((byte) => escape(byte.toString(16).padStart(2, '0'))).join('');

/** In which forms a text might lie about, by their names. base64url is the same for letters and digits like these. */
function formsOf(text: string): readonly (readonly [form: string, pattern: string])[] {
  const hex = Buffer.from(text).toString('hex');
  return [
    ['plain', text],
    ...[0, 1, 2].map((before) => ['base64', base64Of(text, before)] as const),
    ['hex', hex],
    ['hex', hex.toUpperCase()],
    ['URL-encoded', escaped(text, (byte) => `%${byte}`)],
    ['URL-encoded', escaped(text, (byte) => `%${byte.toUpperCase()}`)],
    ['JSON escapes', escaped(text, (byte) => String.raw`\u00${byte}`)],
    ['bytes in JSON', [...Buffer.from(text)].join(',')],
    ['reversed', text.split('').toReversed().join('')],
  ];
}

const PREFIX_FORMS = formsOf(PREFIX);

/** Where something was found that should be nowhere. */
export interface Found {
  readonly secret: string;
  readonly form: string;
  readonly around: string;
}

/** Secrets that are known by their marks. */
export class Markers {
  readonly #names = new Map<string, string>();

  /** A new secret, of letters and digits: 24, or as many as are asked for. */
  make(name: string, length = 24): string {
    const random = randomBytes(length).toString('base64').replaceAll(/[+/=]/g, 'x');
    const secret = `${PREFIX}${random}`.slice(0, length);
    this.#names.set(secret, name);
    return secret;
  }

  /** One that was made elsewhere. */
  add(name: string, secret: string): void {
    this.#names.set(secret, name);
  }

  /** Those whose name is not among `but`. */
  without(...but: readonly string[]): Markers {
    const others = new Markers();
    for (const [secret, name] of this.#names) if (!but.includes(name)) others.add(name, secret);
    return others;
  }

  get names(): string[] {
    return [...new Set(this.#names.values())];
  }

  /** Every secret that is in there, in whatever form; each once. */
  findIn(text: string | Buffer): Found[] {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    const found = new Map<string, Found>();
    const note = (secret: string, form: string, at: number) => {
      const around = bytes.toString('latin1', Math.max(0, at - SHOWN), at + 2 * SHOWN);
      found.set(`${secret} ${form}`, { secret, form, around });
    };
    for (const [form, pattern] of PREFIX_FORMS) {
      for (let at = bytes.indexOf(pattern); at !== -1; at = bytes.indexOf(pattern, at + 1)) {
        const name = this.#nameAt(bytes, at, form);
        if (name !== undefined) note(name, form, at);
      }
    }
    for (const [secret, name] of this.#names) {
      const at = secret.startsWith(PREFIX) ? -1 : bytes.indexOf(secret);
      if (at !== -1) note(name, 'plain', at);
    }
    return [...found.values()];
  }

  /** Which of the marked ones it is; undefined: one that is not looked for. */
  #nameAt(bytes: Buffer, at: number, form: string): string | undefined {
    for (const [secret, name] of this.#names) {
      if (!secret.startsWith(PREFIX)) continue;
      for (const [other, pattern] of formsOf(secret)) {
        const from = form === 'reversed' ? at + PREFIX.length - secret.length : at;
        if (other === form && bytes.toString('latin1', from, from + pattern.length) === pattern) return name;
      }
    }
    return undefined;
  }
}
