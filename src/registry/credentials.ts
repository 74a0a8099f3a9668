import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { codeOf, describeError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
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
  /** `renew`: the registry refused the last one. Undefined: anonymous. */
  read(renew?: boolean): Promise<Credential | undefined>;
}

/** A helper is asked again after this long, or at once when the registry refuses what it gave. In milliseconds. */
const HELPER_ANSWER_KEPT_MS = 300_000;
/** docker-credential-helpers: a Username of `<token>` says that the Secret is an identity token. */
const TOKEN_USER = '<token>';

/** The configured credential of one registry. Files are read at each use, so that a renewed secret counts at once. */
export class Credentials implements CredentialSource {
  readonly #host: string;
  readonly #settings: CredentialSettings;
  readonly #clock: Clock;
  #kept: { helper: string; answer: HelperAnswer | undefined; until: number } | undefined;

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

  /** `renew`: the registry refused the last one, a helper is asked again. Undefined: anonymous. Throws ORIGIN_CREDENTIALS. */
  async read(renew = false): Promise<Credential | undefined> {
    const { username, passwordFile, dockerConfig, credentialHelper } = this.#settings;
    if (passwordFile !== undefined) {
      const password = (await this.#readFile(passwordFile)).replace(/\r?\n$/, '');
      if (password === '') throw this.#failure(`the file ${passwordFile} is empty`);
      return { kind: 'password', username: username ?? '', password };
    }
    if (credentialHelper !== undefined) return this.#fromHelper(credentialHelper, serverOf(this.#host), renew);
    if (dockerConfig !== undefined) return this.#fromDockerConfig(dockerConfig, renew);
    return undefined;
  }

  /** What a helper gave is asked for anew at the next use. */
  forget(): void {
    this.#kept = undefined;
  }

  async #fromDockerConfig(file: string, renew: boolean): Promise<Credential | undefined> {
    const text = await this.#readFile(file);
    try {
      const entry = findInDockerConfig(text, this.#host);
      return entry?.kind === 'helper' ? await this.#fromHelper(entry.name, entry.server, renew) : entry;
    } catch (error) {
      throw error instanceof SyntaxError ? this.#failure(`${file} cannot be used: ${error.message}`) : error;
    }
  }

  async #fromHelper(name: string, server: string, renew: boolean): Promise<Credential | undefined> {
    if (renew || this.#kept?.helper !== name || this.#kept.until <= this.#clock.monotonic()) {
      const answer = await this.#ask(name, server);
      this.#kept = { helper: name, answer, until: this.#clock.monotonic() + HELPER_ANSWER_KEPT_MS };
    }
    const { answer } = this.#kept;
    if (!answer) return undefined;
    if (answer.username === TOKEN_USER) return { kind: 'identity', token: answer.secret };
    return { kind: 'password', username: answer.username, password: answer.secret };
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

export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Names a credential in a cache's key, without giving it away. */
export function credentialId(credential: Credential | undefined): string {
  if (!credential) return 'anonymous';
  return createHash('sha256').update(JSON.stringify(credential)).digest('base64url');
}
