import { parseDigest, type Digest } from '../base/digest.ts';

/** An image reference as people write it, normalised the way docker does (distribution/reference, `ParseNormalizedNamed`). */
export interface Reference {
  /** Canonical registry host: `docker.io`, `ghcr.io`, `registry.example:5000`, `[::1]:5000`. */
  readonly host: string;
  /** With `library/` for one-component Docker Hub names. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

export const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_API = 'registry-1.docker.io';
/** The names that clients have for Docker Hub; the two last are the host of its API and of its old index. */
const DOCKER_HUB_NAMES = new Set([DOCKER_HUB, DOCKER_HUB_API, 'index.docker.io']);

/** dist-spec, "Pulling manifests": host and name together are at most 255 characters long for most clients. */
const NAME_MAX_LENGTH = 255;
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** distribution/reference `domain`: labels, or an IPv6 address in brackets; with an optional port. */
const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)*|\[[0-9a-fA-F:.]{2,45}\])(?::([0-9]{1,5}))?$/;

/** Whether `text` is a repository name (dist-spec, "Pulling manifests"). */
export function isRepositoryName(text: string): boolean {
  return text.length <= NAME_MAX_LENGTH && NAME.test(text);
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** Whether `text` is a host name or address with an optional port that a URL takes as it stands: no user, no path. */
export function isHostLike(text: string): boolean {
  const match = text.length <= NAME_MAX_LENGTH ? HOST.exec(text) : null;
  if (!match) return false;
  const port = match[1];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false;
  return URL.canParse(`http://${text}/`);
}

/**
 * Whether the first component of a name is a registry host rather than part of the name: it has a dot or a port, or is
 * `localhost` (docker's rule, distribution/reference `splitDockerDomain`).
 */
export function isHostComponent(component: string): boolean {
  return (component === 'localhost' || /[.:]/.test(component)) && isHostLike(component);
}

/** The one spelling of a registry host: lower case, `docker.io` for all names of Docker Hub, no default port 443. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase().replace(/(?<=[^:\]]|\]):443$/, '');
  return DOCKER_HUB_NAMES.has(lower) ? DOCKER_HUB : lower;
}

/** Where a registry's API is unless the configuration says otherwise. `host` is canonical. */
export function defaultUrl(host: string): string {
  return `https://${host === DOCKER_HUB ? DOCKER_HUB_API : host}`;
}

/** Docker Hub's own images are under `library/`; clients add that to references, people who write paths by hand do not. */
export function withLibrary(host: string, repository: string): string {
  return host === DOCKER_HUB && !repository.includes('/') ? `library/${repository}` : repository;
}

/** Parses `ghcr.io/org/app:tag@sha256:…`, `alpine`, `localhost:5000/x`. Without tag and digest the tag is `latest`. */
export function parseReference(text: string): Reference | undefined {
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : parseDigest(text.slice(at + 1));
  if (at !== -1 && !digest) return undefined;
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/') && colon !== -1;
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !isTag(tag)) return undefined;
  const path = hasTag ? named.slice(0, colon) : named;
  const slash = path.indexOf('/');
  const first = slash === -1 ? '' : path.slice(0, slash);
  const hasHost = isHostComponent(first);
  const host = canonicalHost(hasHost ? first : DOCKER_HUB);
  const repository = withLibrary(host, hasHost ? path.slice(slash + 1) : path);
  if (!isRepositoryName(repository) || host.length + repository.length > NAME_MAX_LENGTH) return undefined;
  return {
    host,
    repository,
    ...(tag === undefined ? (digest ? {} : { tag: 'latest' }) : { tag }),
    ...(digest ? { digest } : {}),
  };
}
