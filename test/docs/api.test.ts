import { subscribe } from 'node:diagnostics_channel';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import t from 'tap';
import { Demo } from '../../src/app/demo/demo.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { SESSION_PATH } from '../../src/p2p/supernode/upgrade.ts';
import { parseRequestPath, type Target } from '../../src/proxy/request-path.ts';
import { eventually } from '../support/cluster.ts';
import { Client } from '../support/session-client.ts';
import { repositoryFile } from '../support/metrics-page.ts';

const page = repositoryFile('docs/api.md');

/** The first cells of the tables below a heading that are requests: `GET /livez`. */
function requestsBelow(heading: string): string[] {
  const section = new RegExp(`\n## ${heading}\n([^]*?)(?=\n## |$)`).exec(page)?.[1] ?? '';
  return [...section.matchAll(/^\| `((?:GET|POST|DELETE) [^`]+)`/gm)].map(([, request]) => request!);
}

/** Every route of every server that is made from here on. */
const servers = new Map<FastifyInstance, Set<string>>();
subscribe('fastify.initialization', (message) => {
  const { fastify: app } = message as { fastify: FastifyInstance };
  const routes = new Set<string>();
  servers.set(app, routes);
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) routes.add(`${one} ${url}`);
  });
});

/** As the page writes it. */
function shown(route: string): string {
  return route
    .replace(/^(GET \/dashboard\/)[\w-]+\.(?:js|css)$/, '$1<file>')
    .replace(/:(\w+)/, '<$1>')
    .replace(/(\/blobs\/)\*$/, '$1<digest>');
}

/** The routes of the server on a port, without HEAD where GET is there too. */
function routesAt(url: string): string[] {
  const port = Number(new URL(url).port);
  const found = [...servers].find(([{ server }]) => (server.address() as AddressInfo | null)?.port === port);
  const routes = [...(found?.[1] ?? [])].filter((route) => !route.startsWith('HEAD '));
  return [...new Set(routes.map(shown))].toSorted();
}

/** The names of all members, however deep: `peers[].id`. What is empty or null says nothing of what would be in it. */
function membersOf(value: unknown, path = ''): { names: Set<string>; unknown: Set<string> } {
  const names = new Set<string>();
  const unknown = new Set<string>();
  const add = (inner: unknown, at: string): void => {
    const below = membersOf(inner, at);
    for (const name of below.names) names.add(name);
    for (const name of below.unknown) unknown.add(name);
  };
  if (value === null || (Array.isArray(value) && value.length === 0)) unknown.add(path);
  else if (Array.isArray(value)) for (const item of value) add(item, `${path}[]`);
  else if (typeof value === 'object') {
    for (const [name, inner] of Object.entries(value)) {
      names.add(`${path}.${name}`);
      add(inner, `${path}.${name}`);
    }
  }
  return { names, unknown };
}

const isBelow = (name: string, unknown: ReadonlySet<string>) => [...unknown].some((path) => name.startsWith(path));

/** Whether it was done. */
async function post(url: string, body: object): Promise<boolean> {
  const headers = { 'Content-Type': 'application/json' };
  return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).ok;
}

t.test('routes and answers of running services are those of docs/api.md', async (t) => {
  process.env['TMPDIR'] = t.testdir({});
  const { signal } = new AbortController();
  const demo = await Demo.start({ nodes: 2, imageBytes: 2 * MiB, unpulled: true, log: silentLogger, signal });
  t.teardown(() => demo.stop());
  await demo.pull();
  const [{ api: proxy, mirror }] = demo.nodes as [(typeof demo.nodes)[0]];
  const { supernode } = demo;

  const both = requestsBelow('Both roles');
  t.same(routesAt(supernode), [...both, ...requestsBelow('Supernode')].toSorted(), 'of a supernode');
  t.same(routesAt(proxy), [...both, ...requestsBelow('Proxy')].toSorted(), 'of a proxy');
  t.match(page, `\`${SESSION_PATH}\``);
  for (const request of both) {
    const path = request.replace('GET ', '');
    for (const url of [supernode, proxy]) t.equal((await fetch(url + path)).status, 200, url + path);
  }

  // What has come takes its name a moment later.
  await eventually('the image is whole, and pinned', () =>
    post(`${proxy}/api/v1/store/pin`, { image: 'demo.test/demo/app:v1' }),
  );
  // Another major version is rejected, and remembered.
  const stranger = new Client(t, supernode);
  await stranger.hello({ protocol: '9.0' });
  await stranger.next('reject');
  const shapes = [...page.matchAll(/<!-- answer: (supernode|proxy) (\S+) -->\n\n```json\n([^]*?)```/g)];
  for (const [, role, path, example] of shapes) {
    const answer: unknown = await (await fetch(`${role === 'proxy' ? proxy : supernode}${path}`)).json();
    const said = membersOf(JSON.parse(example!));
    const seen = membersOf(answer);
    t.same(
      [...seen.names].filter((name) => !said.names.has(name) && !isBelow(name, said.unknown)),
      [],
      `${role} ${path}: what the page leaves out`,
    );
    t.same(
      [...said.names].filter((name) => !seen.names.has(name) && !isBelow(name, seen.unknown)),
      [],
      `${role} ${path}: what there is not`,
    );
  }
  t.ok(shapes.length >= 5);
  t.equal((await fetch(`${mirror}/v2/`)).status, 200);
  t.equal((await fetch(`${mirror}/v2/_catalog`)).status, 404);
  t.equal((await fetch(`${mirror}/v2/`, { method: 'PUT' })).status, 405);
});

t.test('the requests of the mirror: each kind has its line, and each line is of a kind', async (t) => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const kinds = requestsBelow('Mirror').map((request) => {
    const path = request.replace('GET ', '').replace('NAME', 'org/app').replace('REFERENCE', 'v1');
    return parseRequestPath(path.replace('DIGEST', digest)).target.kind;
  });
  const all: Record<Target['kind'], true> = { base: true, manifest: true, blob: true, through: true, catalog: true };
  t.same(kinds, Object.keys(all));
});
