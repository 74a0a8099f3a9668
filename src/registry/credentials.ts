import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { codeOf, describeError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { askCredentialHelper, HelperFailed, type HelperAnswer } from './credential-helper.ts';
import { findInDockerConfig, serverOf } from './docker-config.ts';
import { OriginCredentials } from './errors.ts';

/** What opens a registry. Never logged, never stored. */
export type Credential =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** A refresh token that is exchanged for access tokens at the token endpoint. */
  | { readonly kind: 'identity'; readonly token: string };

export interface CredentialSettings {
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly dockerConfig?: string | undefined;
  readonly credentialHelper?: string | undefined;
}

/** Where a registry's credential comes from. */
export interface CredentialSource {
  readonly configured: boolean;
  /** `refused`: the registry does not take that one; another is given, where there is another. Undefined: anonymous. */
  read(refused?: Credential): Promise<Credential | undefined>;
}

/** A helper is asked again after this long, or at once when the registry refuses what it gave. In milliseconds. */
const HELPER_ANSWER_KEPT_MS = 300_000;
/** After so long without a question it is in memory no more; until then it is of use while the helper fails. */
const HELPER_ANSWER_FORGOTTEN_MS = 2 * HELPER_ANSWER_KEPT_MS;
/** One that fails is not asked again for so long: each time would cost a process and perhaps its whole bound. In milliseconds. */
const HELPER_FAILURE_KEPT_MS = 5000;
/** docker-credential-helpers: a Username of `<token>` says that the Secret is an identity token. */
const TOKEN_USER = '<token>';

/** The configured credential of one registry. Files are read at each use, so that a renewed secret counts at once. */
export class Credentials implements CredentialSource {
  readonly #host: string;
  readonly #settings: CredentialSettings;
  readonly #clock: Clock;
  readonly #flights = new SingleFlight<string, HelperAnswer | undefined>();
  #kept: { helper: string; answer: HelperAnswer | undefined; until: number } | undefined;
  #failed: { helper: string; error: unknown; until: number } | undefined;

  /** `host` is canonical. */
  constructor(host: string, settings: CredentialSettings, clock: Clock) {
    this.#host = host;
    this.#settings = settings;
    this.#clock = clock;
  }

  /** Whether one is configured: it may still turn out that the docker config knows nothing of this registry. */
  get configured(): boolean {
    const { passwordFile, dockerConfig, credentialHelper } = this.#settings;
    return (passwordFile ?? dockerConfig ?? credentialHelper) !== undefined;
  }

  /** Throws ORIGIN_CREDENTIALS. */
  async read(refused?: Credential): Promise<Credential | undefined> {
    const { username, passwordFile, dockerConfig, credentialHelper } = this.#settings;
    if (passwordFile !== undefined) {
      const password = (await this.#readFile(passwordFile)).replace(/\r?\n$/, '');
      if (password === '') throw this.#failure(`the file ${passwordFile} is empty`);
      return { kind: 'password', username: username ?? '', password };
    }
    if (credentialHelper !== undefined) return this.#fromHelper(credentialHelper, serverOf(this.#host), refused);
    if (dockerConfig !== undefined) return this.#fromDockerConfig(dockerConfig, refused);
    return undefined;
  }

  /** What a helper gave is asked for anew at the next use. */
  forget(): void {
    this.#kept = undefined;
    this.#failed = undefined;
  }

  async #fromDockerConfig(file: string, refused: Credential | undefined): Promise<Credential | undefined> {
    const text = await this.#readFile(file);
    try {
      const entry = findInDockerConfig(text, this.#host);
      return entry?.kind === 'helper' ? await this.#fromHelper(entry.name, entry.server, refused) : entry;
    } catch (error) {
      throw error instanceof SyntaxError ? this.#failure(`${file} cannot be used: ${error.message}`) : error;
    }
  }

  /** All that need a new answer at the same time get the same one. */
  async #fromHelper(name: string, server: string, refused: Credential | undefined): Promise<Credential | undefined> {
    const kept = this.#kept?.helper === name ? this.#kept : undefined;
    const isRefused = kept !== undefined && refused !== undefined && isSame(credentialIn(kept.answer), refused);
    if (kept && !isRefused && kept.until > this.#clock.monotonic()) return credentialIn(kept.answer);
    try {
      return credentialIn(await this.#flights.run(`${name} ${server}`, () => this.#askAgain(name, server)));
    } catch (error) {
      // It is old, and nobody has said that it is not good any more.
      if (kept && !isRefused) return credentialIn(kept.answer);
      throw error;
    }
  }

  async #askAgain(helper: string, server: string): Promise<HelperAnswer | undefined> {
    const failed = this.#failed;
    if (failed?.helper === helper && failed.until > this.#clock.monotonic()) throw failed.error;
    try {
      const answer = await this.#ask(helper, server);
      const kept = { helper, answer, until: this.#clock.monotonic() + HELPER_ANSWER_KEPT_MS };
      this.#kept = kept;
      // One that nobody asks for any more does not stay in memory for ever; while the helper fails, it is still of use.
      this.#clock.after(HELPER_ANSWER_FORGOTTEN_MS, () => {
        if (this.#kept === kept) this.#kept = undefined;
      });
      return answer;
    } catch (error) {
      this.#failed = { helper, error, until: this.#clock.monotonic() + HELPER_FAILURE_KEPT_MS };
      throw error;
    }
  }

  async #ask(name: string, server: string): Promise<HelperAnswer | undefined> {
    try {
      return await askCredentialHelper(name, server);
    } catch (error) {
      if (!(error instanceof HelperFailed)) throw error;
      throw this.#failure(`docker-credential-${name}: ${describeError(error)}`, error);
    }
  }

  async #readFile(path: string): Promise<string> {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      throw this.#failure(`the file ${path} cannot be read (${codeOf(error)})`, error);
    }
  }

  #failure(seen: string, cause?: unknown) {
    return new OriginCredentials({ upstream: this.#host, step: 'reading its credential', seen }, { cause });
  }
}

function credentialIn(answer: HelperAnswer | undefined): Credential | undefined {
  if (!answer) return undefined;
  if (answer.username === TOKEN_USER) return { kind: 'identity', token: answer.secret };
  return { kind: 'password', username: answer.username, password: answer.secret };
}

function isSame(one: Credential | undefined, other: Credential): boolean {
  return credentialId(one) === credentialId(other);
}

export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Names a credential in a cache's key, without giving it away. */
export function credentialId(credential: Credential | undefined): string {
  if (!credential) return 'anonymous';
  return createHash('sha256').update(JSON.stringify(credential)).digest('base64url');
}
