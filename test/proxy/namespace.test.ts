import fc from 'fast-check';
import t from 'tap';
import { codeOf } from '../../src/base/errors.ts';
import { resolveScope, type ListenerScope } from '../../src/proxy/namespace.ts';
import { parseRequestPath } from '../../src/proxy/request-path.ts';
import { canonicalHost } from '../../src/registry/reference.ts';
import type { Upstream } from '../../src/registry/upstream.ts';

const ALLOWED = new Set(['docker.io', 'ghcr.io', 'registry.example:5000', '[::1]:5000', 'localhost']);
const upstreams = {
  find: (host: string) => {
    const canonical = canonicalHost(host);
    return ALLOWED.has(canonical) ? ({ host: canonical } as Upstream) : undefined;
  },
};
const HUB: ListenerScope = { upstream: 'docker.io', bound: false, login: false };

function scope(url: string, listener = HUB): string {
  try {
    const { upstream, repository, clientPath, ns } = resolveScope(parseRequestPath(url), listener, upstreams);
    return `${upstream.host} ${repository} ${clientPath} ${ns ?? '-'}`;
  } catch (error) {
    return codeOf(error);
  }
}

t.test('which upstream, and which repository there', (t) => {
  const cases: [string, string][] = [
    // The listener's default.
    ['/v2/library/alpine/manifests/1', 'docker.io library/alpine /v2/library/alpine -'],
    ['/v2/alpine/manifests/1', 'docker.io library/alpine /v2/alpine -'],
    ['/v2/alpine.test/manifests/1', 'docker.io library/alpine.test /v2/alpine.test -'],
    // ?ns=
    ['/v2/org/app/manifests/1?ns=ghcr.io', 'ghcr.io org/app /v2/org/app ghcr.io'],
    ['/v2/alpine/manifests/1?ns=index.docker.io', 'docker.io library/alpine /v2/alpine index.docker.io'],
    ['/v2/app/manifests/1?ns=ghcr.io', 'ghcr.io app /v2/app ghcr.io'],
    ['/v2/app/manifests/1?ns=%5B%3A%3A1%5D%3A5000', '[::1]:5000 app /v2/app [::1]:5000'],
    // A host in the path.
    ['/v2/ghcr.io/org/app/manifests/1', 'ghcr.io org/app /v2/ghcr.io/org/app -'],
    ['/v2/GHCR.io/org/app/manifests/1', 'ghcr.io org/app /v2/GHCR.io/org/app -'],
    ['/v2/docker.io/alpine/tags/list', 'docker.io library/alpine /v2/docker.io/alpine -'],
    ['/v2/registry.example:5000/x/manifests/1', 'registry.example:5000 x /v2/registry.example:5000/x -'],
    ['/v2/localhost/x/manifests/1', 'localhost x /v2/localhost/x -'],
    ['/ghcr.io/v2/org/app/manifests/1', 'ghcr.io org/app /ghcr.io/v2/org/app -'],
    ['/docker.io/v2/alpine/manifests/1', 'docker.io library/alpine /docker.io/v2/alpine -'],
    // Both, alike: containerd with override_path.
    ['/v2/ghcr.io/org/app/manifests/1?ns=ghcr.io', 'ghcr.io org/app /v2/ghcr.io/org/app ghcr.io'],
    ['/ghcr.io/v2/ghcr.io/a/manifests/1?ns=ghcr.io', 'ghcr.io a /ghcr.io/v2/ghcr.io/a ghcr.io'],
    // Both, and they differ.
    ['/v2/ghcr.io/org/app/manifests/1?ns=docker.io', 'NAMESPACE_CONFLICT'],
    ['/ghcr.io/v2/org/app/manifests/1?ns=docker.io', 'NAMESPACE_CONFLICT'],
    // A component with a dot that is no registry of ours belongs to the name, when something else names the registry.
    ['/v2/my.group/app/manifests/1?ns=ghcr.io', 'ghcr.io my.group/app /v2/my.group/app ghcr.io'],
    ['/v2/my.group:80/app/manifests/1?ns=ghcr.io', 'NAME_INVALID'],
    // Not allowed.
    ['/v2/my.group/app/manifests/1', 'UPSTREAM_UNKNOWN'],
    ['/v2/a/manifests/1?ns=169.254.169.254', 'UPSTREAM_UNKNOWN'],
    ['/v2/a/manifests/1?ns=registry', 'UPSTREAM_UNKNOWN'],
    ['/evil.example/v2/a/manifests/1', 'UPSTREAM_UNKNOWN'],
  ];
  for (const [url, expected] of cases) t.equal(scope(url), expected, url);
  t.end();
});

t.test('a listener bound to an upstream serves that one only', (t) => {
  const bound: ListenerScope = { upstream: 'ghcr.io', bound: true, login: false };
  t.equal(scope('/v2/org/app/manifests/1', bound), 'ghcr.io org/app /v2/org/app -');
  t.equal(scope('/v2/app/manifests/1', bound), 'ghcr.io app /v2/app -', 'no library/ but at Docker Hub');
  t.equal(scope('/v2/my.group/app/manifests/1', bound), 'ghcr.io my.group/app /v2/my.group/app -');
  t.equal(scope('/v2/ghcr.io/org/app/manifests/1', bound), 'ghcr.io org/app /v2/ghcr.io/org/app -');
  t.equal(scope('/v2/docker.io/alpine/manifests/1', bound), 'NAMESPACE_CONFLICT');
  t.equal(scope('/v2/a/manifests/1?ns=docker.io', bound), 'NAMESPACE_CONFLICT');
  t.end();
});

t.test('property: ns, prefix and outer prefix lead to the same repository', (t) => {
  const component = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  fc.assert(
    fc.property(fc.constantFrom(...ALLOWED), fc.array(component, { minLength: 1, maxLength: 4 }), (host, parts) => {
      const name = parts.join('/');
      const where = (url: string) => scope(url).split(' ').slice(0, 2).join(' ');
      const byPrefix = where(`/v2/${host}/${name}/manifests/x`);
      t.equal(where(`/v2/${name}/manifests/x?ns=${encodeURIComponent(host)}`), byPrefix);
      t.equal(where(`/${host}/v2/${name}/manifests/x`), byPrefix);
      return true;
    }),
  );
  t.end();
});
