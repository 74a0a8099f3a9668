import { randomUUID, sign, X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TEST_TLS } from '../../support/registry-tls.ts';
import { freePort } from './ports.ts';
import type { Rig } from './rig.ts';

const START_BOUND_MS = 20_000;
const ISSUER = 'token-service.test';
const SERVICE = 'registry.test';
const TOKEN_S = 300;

export interface User {
  readonly name: string;
  readonly password: string;
}

/**
 * docker-registry over the data of an open one, with tokens of a token service (distribution's token spec): everybody pulls what
 * nobody owns, and only its owner the rest.
 */
export class PrivateOrigin {
  readonly url: string;
  readonly #users: readonly User[];
  /** Repository to the name of who may read it. */
  readonly #owners: Map<string, string>;
  #realm = '';

  private constructor(url: string, users: readonly User[], owners: Map<string, string>) {
    this.url = url;
    this.#users = users;
    this.#owners = owners;
  }

  static async start(
    rig: Rig,
    users: readonly User[],
    owners: Readonly<Record<string, string>>,
  ): Promise<PrivateOrigin> {
    const port = await freePort();
    const origin = new PrivateOrigin(`http://127.0.0.1:${port}`, users, new Map(Object.entries(owners)));
    const service = createServer((request, response) => origin.#answer(request, response));
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    rig.onClose(async () => void service.close());
    const bundle = join(rig.dir, 'token-service.pem');
    await writeFile(bundle, TEST_TLS.cert);
    const config = join(rig.dir, 'private-registry.yml');
    origin.#realm = `http://127.0.0.1:${(service.address() as AddressInfo).port}/token`;
    await writeFile(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: await rig.folder('registry') } },
        http: { addr: `127.0.0.1:${port}` },
        auth: { token: { realm: origin.#realm, service: SERVICE, issuer: ISSUER, rootcertbundle: bundle } },
      }),
    );
    const daemon = rig.daemon('private-registry', 'docker-registry', ['serve', config]);
    await daemon.ready('GET /v2/', START_BOUND_MS, async () => {
      const answer = await fetch(`${origin.url}/v2/`).catch(() => undefined);
      return answer?.status === 401;
    });
    return origin;
  }

  /** From here on a repository is somebody else's. */
  giveTo(repository: string, owner: string): void {
    this.#owners.set(repository, owner);
  }

  /** As a client that logs in gets it: the `Authorization` for a repository. Undefined: anybody. */
  async authorization(user: User | undefined, repository: string): Promise<string> {
    const url = `${this.#realm}?service=${SERVICE}&scope=repository:${repository}:pull`;
    const headers = user ? { authorization: basicOf(user) } : undefined;
    const { token } = (await (await fetch(url, headers && { headers })).json()) as { token: string };
    return `Bearer ${token}`;
  }

  /** One that was good until some time ago. */
  expiredAuthorization(user: User, repository: string): string {
    const access = [{ type: 'repository', name: repository, actions: ['pull'] }];
    return `Bearer ${tokenFor(user.name, access, Date.now() / 1000 - 2 * TOKEN_S)}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // containerd tries POST first, and then does with GET.
    if (request.method !== 'GET') return void response.writeHead(404).end();
    const user = this.#userOf(request.headers.authorization);
    if (user === false) return void response.writeHead(401).end();
    const scopes = new URL(request.url ?? '', this.url).searchParams
      .getAll('scope')
      .flatMap((scope) => scope.split(' '));
    const access = scopes.flatMap((scope) => {
      const [type, name = '', actions = ''] = scope.split(':');
      const owner = this.#owners.get(name);
      const may = type === 'repository' && actions.split(',').includes('pull') && (owner ?? user) === user;
      return may ? [{ type, name, actions: ['pull'] }] : [];
    });
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ token: tokenFor(user ?? '', access), expires_in: TOKEN_S }));
  }

  /** Undefined: a stranger; false: a wrong password. */
  #userOf(authorization: string | undefined): string | undefined | false {
    if (authorization === undefined) return undefined;
    const [, given = ''] = authorization.split(' ');
    const known = this.#users.find(
      ({ name, password }) => Buffer.from(`${name}:${password}`).toString('base64') === given,
    );
    return known?.name ?? false;
  }
}

export function basicOf({ name, password }: User): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** `since`: seconds since 1970. */
function tokenFor(subject: string, access: object, since = Date.now() / 1000): string {
  const now = Math.floor(since);
  const certificate = new X509Certificate(TEST_TLS.cert).raw.toString('base64');
  const claims = {
    iss: ISSUER,
    sub: subject,
    aud: SERVICE,
    exp: now + TOKEN_S,
    nbf: now - 10,
    iat: now,
    jti: randomUUID(),
  };
  const parts = [
    { typ: 'JWT', alg: 'ES256', x5c: [certificate] },
    { ...claims, access },
  ];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(text), { key: TEST_TLS.key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}
