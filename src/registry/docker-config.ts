import { canonicalHost, DOCKER_HUB } from './reference.ts';

/** The key of Docker Hub in docker's files and for its helpers, since the days of the index. */
const HUB_KEY = 'https://index.docker.io/v1/';

/** What a docker `config.json` says of one registry. */
export type DockerConfigEntry =
  | { readonly kind: 'helper'; readonly name: string; readonly server: string }
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity'; readonly token: string };

/** The name under which a credential helper knows a registry. `host` is canonical. */
export function serverOf(host: string): string {
  return host === DOCKER_HUB ? HUB_KEY : host;
}

/**
 * Finds a registry in the text of a `config.json` as docker does: its own helper, else the helper for all, else the
 * file's own entry. Undefined: nothing there. Throws a SyntaxError for what is no such file; its message quotes nothing.
 */
export function findInDockerConfig(text: string, host: string): DockerConfigEntry | undefined {
  const config = parseObject(text);
  const helper = lookUp(config['credHelpers'], host) ?? config['credsStore'];
  if (typeof helper === 'string' && helper !== '') return { kind: 'helper', name: helper, server: serverOf(host) };
  const entry = lookUp(config['auths'], host);
  return isObject(entry) ? entryOf(entry) : undefined;
}

function entryOf({ auth, username, password, identitytoken }: Record<string, unknown>): DockerConfigEntry | undefined {
  if (typeof identitytoken === 'string' && identitytoken !== '') return { kind: 'identity', token: identitytoken };
  if (typeof auth === 'string' && auth !== '') {
    const decoded = Buffer.from(auth, 'base64').toString().replace(/\0+$/, '');
    const colon = decoded.indexOf(':');
    if (colon === -1) throw new SyntaxError('an "auth" is not a name and a password');
    return { kind: 'password', username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  }
  if (typeof username === 'string' && typeof password === 'string') return { kind: 'password', username, password };
  return undefined;
}

/** Keys are hosts, or URLs of the registry's API as old versions wrote them. */
function lookUp(table: unknown, host: string): unknown {
  if (!isObject(table)) return undefined;
  const key = Object.keys(table).find((k) => hostOfKey(k) === host);
  return key === undefined ? undefined : table[key];
}

function hostOfKey(key: string): string {
  return canonicalHost(key.replace(/^https?:\/\//, '').replace(/\/.*$/, ''));
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SyntaxError('it is not JSON');
  }
  if (!isObject(value)) throw new SyntaxError('it is not a JSON object');
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
