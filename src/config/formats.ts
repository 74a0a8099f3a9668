import { isIPv4, isIPv6 } from 'node:net';
import { parseSize, parseTime, SIZE_FORMAT, TIME_FORMAT } from '../base/units.ts';

/** Where to listen. An IPv6 host is without its brackets; port 0 lets the system choose. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One kind of text in the configuration: what it is called, what is allowed, and the check. */
interface Format {
  readonly what: string;
  readonly allowed: string;
  readonly test: (text: string) => boolean;
}

const LABEL = '[a-z0-9]([a-z0-9_-]*[a-z0-9])?';
const HOST_NAME = new RegExp(`^${LABEL}(\\.${LABEL})*\\.?$`, 'i');
const REGISTRY_NAME = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const REGISTRY_PATTERN = /^[a-z0-9*]([a-z0-9*_.-]*[a-z0-9*])?$/;
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const LONGEST_HOST_NAME = 253;
const MAX_PATTERN_CHARACTERS = 300;
/** What the protocol can carry of each. */
const MAX_UPLOAD_SLOTS = 1000;
const MAX_ZONE_CHARACTERS = 64;
const MAX_HEARTBEAT_MS = 3_600_000;
/** More often, and the heartbeats themselves are the load. */
const MIN_HEARTBEAT_MS = 100;
/** Other names under which clients know Docker Hub: as keys they would never be looked up. */
const HUB_ALIASES = new Set(['index.docker.io', 'registry-1.docker.io']);

export const FORMATS = {
  address: {
    what: 'an address to listen on',
    allowed: 'host:port, as in 127.0.0.1:65001, "[::1]:65001" or 0.0.0.0:65001 (port 0: a free one)',
    test: (text) => parseAddress(text) !== undefined,
  },
  host: { what: 'a host name', allowed: 'a host name without a port, as in mirror.example', test: isHost },
  endpoint: {
    what: 'an address that others can connect to',
    allowed: 'host:port, as in 10.0.0.5:65002 or "[fd00::5]:65002", with a real port',
    test: isEndpoint,
  },
  supernode: {
    what: 'the URL of a supernode',
    allowed: 'http://host[:port] or https://host[:port], without a path and without credentials',
    test: (text) => isOrigin(text, false),
  },
  size: { what: 'a size', allowed: SIZE_FORMAT, test: (text) => parseSize(text) !== undefined },
  time: { what: 'a time', allowed: TIME_FORMAT, test: (text) => parseTime(text) !== undefined },
  rate: {
    what: 'a rate',
    allowed: `bytes a second: ${SIZE_FORMAT}; empty or 0B for no limit`,
    test: (text) => text === '' || parseSize(text) !== undefined,
  },
  slots: {
    what: 'a number of slots',
    allowed: `a whole number from 1 to ${MAX_UPLOAD_SLOTS}`,
    test: (text) => /^[1-9]\d{0,4}$/.test(text) && Number(text) <= MAX_UPLOAD_SLOTS,
  },
  heartbeat: {
    what: 'a time between heartbeats',
    allowed: `from ${MIN_HEARTBEAT_MS}ms to ${MAX_HEARTBEAT_MS / 60_000}m, as in 5s`,
    test: (text) => {
      const ms = parseTime(text);
      return ms !== undefined && ms >= MIN_HEARTBEAT_MS && ms <= MAX_HEARTBEAT_MS;
    },
  },
  zone: {
    what: 'the name of a zone',
    allowed: `letters, digits and . _ - /, at most ${MAX_ZONE_CHARACTERS}; empty for none`,
    test: (text) => text.length <= MAX_ZONE_CHARACTERS && /^[\w./-]*$/.test(text),
  },
  registry: {
    what: 'a registry host',
    allowed: 'a host as in image names, in lower case: docker.io for Docker Hub, registry.example:5000',
    test: (text) => isRegistry(text, REGISTRY_NAME) && !HUB_ALIASES.has(text),
  },
  upstream: {
    what: 'a registry host or a pattern',
    allowed:
      'a host as in image names, in lower case (docker.io for Docker Hub, registry.example:5000), or one with * in it (*.example)',
    test: (text) => isRegistry(text, REGISTRY_PATTERN) && !HUB_ALIASES.has(text),
  },
  origin: {
    what: 'the URL of a registry',
    allowed: 'http://host[:port] or https://host[:port], without a path and without credentials',
    test: (text) => isOrigin(text, false),
  },
  egress: {
    what: 'the URL of a proxy',
    allowed: 'http://[user:password@]host:port or https://[user:password@]host:port',
    test: (text) => isOrigin(text, true),
  },
  user: {
    what: 'the name of a user',
    allowed: 'letters, digits and . _ @ + -, with * for any number of them (ci-*); or loopback',
    test: (text) => /^[A-Za-z0-9*][A-Za-z0-9._@+*-]{0,127}$/.test(text),
  },
  repositories: {
    what: 'a pattern of repositories',
    allowed:
      'host/name, as in registry.example:5000/team/app or docker.io/library/nginx; * for a part of a name (registry.example/team/*), ** across slashes (registry.example/**), ** alone for all',
    test: isRepositoryPattern,
  },
  reach: {
    what: 'a host or a network',
    allowed: 'a host name, an IP address or a CIDR such as 10.0.0.0/8',
    test: isReach,
  },
  helper: {
    what: 'the name of a credential helper',
    allowed: 'what follows docker-credential- in its file name, as in ecr-login',
    test: (text) => HELPER_NAME.test(text),
  },
  files: {
    what: 'a pattern of URLs',
    allowed:
      'https://host/path or http://…; * stands for a part of a name in the host or the path, ** for any path: https://downloads.example/**',
    test: (text) => isFilePattern(text),
  },
  path: { what: 'a path', allowed: 'the path of a file or directory', test: isPath },
} satisfies Record<string, Format>;

export type FormatName = keyof typeof FORMATS;

/** `127.0.0.1:65001`, `[::1]:65001`, `localhost:0`; undefined for anything else: the host is required. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined;
  return plain !== undefined && isHost(plain) ? { host: plain, port } : undefined;
}

/** The address as `parseAddress` reads it. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Only this machine can connect to it: 127.0.0.0/8, ::1, and the name `localhost` (RFC 6761, section 6.3). */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.');
  return host === '::1' || host.toLowerCase() === 'localhost';
}

/** An address to listen on that stands for all addresses of this machine: nobody can connect to it from elsewhere. */
export function isUnspecified(host: string): boolean {
  return isIPv4(host) ? host === '0.0.0.0' : isIPv6(host) && /^[0:.]+$/.test(host);
}

/** Where this machine reaches what listens there. */
export function nearOf({ host, port }: Address): Address {
  return { host: isUnspecified(host) ? (host.includes(':') ? '::1' : '127.0.0.1') : host, port };
}

/** A key of `upstreams` that stands for several hosts. */
export function isPattern(upstream: string): boolean {
  return upstream.includes('*');
}

/** Whether a key of `upstreams` stands for a host: each `*` for one label of it or a part of one, `*` alone for every host. */
export function standsFor(upstream: string, host: string): boolean {
  if (upstream === '*' || upstream === host) return true;
  const parts = upstream.split('*').map((part) => part.replaceAll(/[.[\]]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('[a-z0-9_-]+')}$`).test(host);
}

function isEndpoint(text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && address.port > 0 && !isUnspecified(address.host);
}

/** A dotted number that is no IPv4 address is a mistake, not a name. */
function isHost(text: string): boolean {
  if (/^[\d.]+$/.test(text)) return isIPv4(text);
  return text.length <= LONGEST_HOST_NAME && HOST_NAME.test(text);
}

function isRegistry(text: string, name: RegExp): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  if (!match) return false;
  const [, bracketed, plain, digits] = match;
  if (digits !== undefined && (Number(digits) < 1 || Number(digits) > 65_535)) return false;
  if (bracketed !== undefined) return isIPv6(bracketed);
  return (
    plain !== undefined &&
    plain.length <= LONGEST_HOST_NAME &&
    name.test(plain) &&
    (/[a-z*]/.test(plain) || isIPv4(plain))
  );
}

function isOrigin(text: string, credentials: boolean): boolean {
  if (!/^https?:\/\/[^/\\]/i.test(text) || !URL.canParse(text)) return false;
  const url = new URL(text);
  const bare = url.pathname === '/' && !/[?#]/.test(text);
  return bare && url.port !== '0' && (credentials || !text.includes('@'));
}

/** A host with its stars is what a host without them would be; user, query and fragment are no part of a pattern. */
function isFilePattern(text: string): boolean {
  const match = /^https?:\/\/([^/?#@\\\s]+)(\/[^?#\\\s]*)$/.exec(text);
  const host = match?.[1]?.replaceAll('*', 'x') ?? '';
  return isRegistry(host, REGISTRY_NAME);
}

function isReach(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  if (prefix === undefined) return isHost(text) || isIPv6(text);
  const longest = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1;
  return rest.length === 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= longest;
}

/** Without a slash it would match nothing: a repository has one. */
function isRepositoryPattern(text: string): boolean {
  const known = text.length <= MAX_PATTERN_CHARACTERS && /^[a-z0-9._:[\]/*-]+$/.test(text);
  const host = text.split('/', 1)[0]!;
  return known && (text.includes('/') || text.includes('**')) && !text.startsWith('/') && !HUB_ALIASES.has(host);
}

function isPath(text: string): boolean {
  return !text.includes('\0');
}
