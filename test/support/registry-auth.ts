import { randomUUID } from 'node:crypto';

interface Token {
  readonly user: string | undefined;
  readonly scopes: readonly string[];
  readonly expiresAt: number;
}

export interface TokenRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly form: URLSearchParams;
  readonly authorization: string | undefined;
}

export interface TokenAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** Who may pull what from the hostile registry, and its token endpoint. All of it can be changed at run time. */
export class RegistryAuth {
  mode: 'none' | 'bearer' | 'basic' = 'none';
  /** Name to password. */
  readonly users = new Map<string, string>();
  /** Refresh (identity) token to user. */
  readonly refreshTokens = new Map<string, string>();
  /** Repositories that anonymous clients may not pull. */
  readonly privateRepositories = new Set<string>();
  /** Who alone may pull a private repository; undefined: every user. */
  readonly readers = new Map<string, readonly string[]>();
  /** Anonymous clients have had enough (429). */
  limitStrangers = false;
  /** How long a token is good for. */
  tokenTtlMs = 300_000;
  /** What `expires_in` says, in seconds; undefined: nothing. */
  expiresIn: number | undefined = 300;
  /** A token's text. */
  makeToken: () => string = () => `secret-token-${randomUUID()}`;
  tokenField: 'token' | 'access_token' = 'token';
  /** Answer POST at the token endpoint with this status. */
  postStatus: number | undefined;
  /** For what may not be pulled: refuse the token (GHCR), or give one that is good for nothing (Docker Hub). */
  deny: 'at-token' | 'at-registry' = 'at-token';
  /** `WWW-Authenticate` instead of the usual one; an empty list: none. */
  challenges: readonly string[] | undefined;
  /** The realm in the challenge, instead of the registry's own `/token`. */
  realm: string | undefined;
  /** Put the scope into the challenge. */
  challengeScope = true;
  /** What a wrong Basic password is answered with: 403 is ECR's way. */
  expiredStatus: 401 | 403 = 401;
  /** Challenge at `/v2/` only; elsewhere a bare 401 (gcr.io). */
  challengeAtPingOnly = false;
  #tokens = new Map<string, Token>();

  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** Undefined: let in. Else the status and the challenges. */
  refuse(
    authorization: string | undefined,
    repository: string | undefined,
    ownRealm: string,
  ): { status: 401 | 403 | 429; challenges: readonly string[] } | undefined {
    if (this.mode === 'none') return undefined;
    const [scheme = '', secret = ''] = (authorization ?? '').split(' ');
    if (this.mode === 'basic') {
      const ok = scheme.toLowerCase() === 'basic' && this.#basicUser(secret) !== undefined;
      const status = secret === '' ? 401 : this.expiredStatus;
      return ok ? undefined : { status, challenges: this.challenges ?? ['Basic realm="registry"'] };
    }
    const token = scheme.toLowerCase() === 'bearer' ? this.#tokens.get(secret) : undefined;
    const good = token && token.expiresAt > Date.now();
    if (good && (repository === undefined || token.scopes.includes(`repository:${repository}:pull`))) {
      return this.limitStrangers && token.user === undefined ? { status: 429, challenges: [] } : undefined;
    }
    const scope = repository && this.challengeScope ? `,scope="repository:${repository}:pull"` : '';
    const usual = `Bearer realm="${this.realm ?? ownRealm}",service="hostile"${scope}`;
    const hidden = this.challengeAtPingOnly && repository !== undefined;
    return { status: 401, challenges: hidden ? [] : (this.challenges ?? [usual]) };
  }

  token(request: TokenRequest): TokenAnswer {
    if (request.method === 'POST' && this.postStatus !== undefined) {
      return { status: this.postStatus, body: { errors: [{ code: 'UNSUPPORTED', message: 'no POST here' }] } };
    }
    const user = request.method === 'POST' ? this.#formUser(request.form) : this.#getUser(request.authorization);
    if (user === false)
      return { status: 401, body: { errors: [{ code: 'UNAUTHORIZED', message: 'bad credentials' }] } };
    const asked = (request.method === 'POST' ? request.form : request.query)
      .getAll('scope')
      .flatMap((s) => s.split(' '));
    const allowed = asked.filter((scope) => this.#mayPull(user, scope.split(':')[1] ?? ''));
    if (allowed.length < asked.length && this.deny === 'at-token') {
      return { status: 403, body: { errors: [{ code: 'DENIED', message: 'requested access is denied' }] } };
    }
    const id = this.makeToken();
    this.#tokens.set(id, { user, scopes: allowed, expiresAt: Date.now() + this.tokenTtlMs });
    const expiry = this.expiresIn === undefined ? {} : { expires_in: this.expiresIn };
    return { status: 200, body: { [this.tokenField]: id, ...expiry, issued_at: new Date().toISOString() } };
  }

  #mayPull(user: string | undefined, repository: string): boolean {
    if (!this.privateRepositories.has(repository)) return true;
    return user !== undefined && (this.readers.get(repository)?.includes(user) ?? true);
  }

  /** Undefined: anonymous; false: wrong credentials. */
  #getUser(authorization: string | undefined): string | undefined | false {
    if (!authorization) return undefined;
    return this.#basicUser(authorization.split(' ')[1] ?? '') ?? false;
  }

  #formUser(form: URLSearchParams): string | false {
    if (form.get('grant_type') === 'refresh_token') {
      return this.refreshTokens.get(form.get('refresh_token') ?? '') ?? false;
    }
    const user = form.get('username') ?? '';
    return this.users.get(user) === form.get('password') ? user : false;
  }

  #basicUser(base64: string): string | undefined {
    const [user = '', ...password] = Buffer.from(base64, 'base64').toString().split(':');
    return this.users.has(user) && this.users.get(user) === password.join(':') ? user : undefined;
  }
}
