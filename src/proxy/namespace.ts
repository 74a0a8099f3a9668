import { canonicalHost, isHostComponent, isRepositoryName, withLibrary } from '../registry/reference.ts';
import type { Upstream } from '../registry/upstream.ts';
import type { Upstreams } from '../registry/upstreams.ts';
import type { RepoKey } from '../store/refs.ts';
import { NameInvalid, NamespaceConflict, UpstreamUnknown } from './errors.ts';
import type { RequestPath } from './request-path.ts';

/** The repository that a request is about. */
export interface Scope {
  readonly upstream: Upstream;
  /** Its name at the upstream: without a prefix, with `library/` where docker means it. */
  readonly repository: string;
  /** `?ns=` as the client sent it: echoed as `OCI-Namespace`, and kept in links. */
  readonly ns: string | undefined;
  /** The client's own path up to the end of the name: `/v2/docker.io/alpine`. Links that are passed on begin with it. */
  readonly clientPath: string;
}

/** The repository as what is kept on disk, and other proxies, know it. */
export function repoKey({ upstream, repository }: Scope): RepoKey {
  return { registry: upstream.host, repository };
}

/** What a listener adds to a request that names no registry. */
export interface ListenerScope {
  /** The registry that requests mean which name none. */
  readonly upstream: string;
  /** The listener serves this registry only. */
  readonly bound: boolean;
  /** It asks its clients to log in at the mirror. */
  readonly login: boolean;
}

/** As the sources of what is read there are named. */
export function originName({ upstream, repository }: Pick<Scope, 'upstream' | 'repository'>): string {
  return `${upstream.host}/${repository}`;
}

/**
 * Which upstream, and which repository there. The registry is named by `ns`, by a host in front of `/v2/`, or by the
 * listener; where none of them does, by a first component that looks like a host, else by the listener's default. Throws
 * NAMESPACE_CONFLICT where two of them differ, and UPSTREAM_UNKNOWN for a registry that is not allowed.
 */
export function resolveScope(
  path: RequestPath,
  listener: Pick<ListenerScope, 'upstream' | 'bound'>,
  upstreams: Pick<Upstreams, 'find'>,
): Scope {
  const named = [path.outerHost, path.ns, listener.bound ? listener.upstream : undefined].filter(
    (h) => h !== undefined,
  );
  const [first, ...rest] = path.name as [string, ...string[]];
  const prefix = rest.length > 0 && isHostComponent(first) ? first : undefined;
  const host = named[0] ?? prefix ?? listener.upstream;
  for (const other of named) agree(host, other);
  const stripped = prefix !== undefined && sameHost(prefix, host);
  // Where something else names the registry, `my.group` may begin a name there, if it is no registry that we know.
  if (prefix !== undefined && !stripped && upstreams.find(prefix)) agree(host, prefix);
  const name = (stripped ? rest : path.name).join('/');
  if (!isRepositoryName(name)) throw new NameInvalid({ seen: JSON.stringify(name) });
  const upstream = upstreams.find(host);
  if (!upstream) throw new UpstreamUnknown({ host });
  const repository = withLibrary(upstream.host, name);
  const outer = path.outerHost === undefined ? '' : `/${path.outerHost}`;
  return { upstream, repository, ns: path.ns, clientPath: `${outer}/v2/${path.name.join('/')}` };
}

function agree(one: string, other: string): void {
  if (!sameHost(one, other)) throw new NamespaceConflict({ one, other });
}

function sameHost(one: string, other: string): boolean {
  return canonicalHost(one) === canonicalHost(other);
}
