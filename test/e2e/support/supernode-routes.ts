import { request } from 'node:http';
import type { Hawker } from './hawker.ts';
import { listeningAddress } from './hawker.ts';
import type { Asking, OpenCluster } from './open-cluster.ts';
import { basicOf } from './private-origin.ts';
import { outcome, type Rights } from './rights-table.ts';

const BOUND_MS = 20_000;
const ANOTHER_SITE = 'a page of another site';

/** What is asked for: by the name that the page has for it. */
function routes(peer: string, digest: string): Record<string, string> {
  return {
    '`/`': '/',
    '`/dashboard/…`': '/dashboard/main.js',
    '`/api/v1/events`': '/api/v1/events',
    '`/api/v1/peers`': '/api/v1/peers',
    '`/api/v1/peers/<id>`': `/api/v1/peers/${peer}`,
    '`/api/v1/blobs`': '/api/v1/blobs',
    '`/api/v1/blobs/<digest>`': `/api/v1/blobs/${digest}`,
    '`/api/v1/preheats`': '/api/v1/preheats',
    '`/api/v1/status`': '/api/v1/status',
    '`/metrics`': '/metrics',
    '`/livez`, `/readyz`': '/readyz',
  };
}

/**
 * Who may GET what of a supernode: of `cluster`'s, which others can reach, and of `near`'s, on loopback, where it is about what a browser
 * on that machine may be made to ask. `held`: digests that either knows.
 */
export async function supernodeRights(
  cluster: OpenCluster,
  near: Hawker,
  held: { readonly cluster: string; readonly near: string },
): Promise<Rights> {
  const { membership, operatorToken, stranger: from } = cluster;
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const beyond: Record<string, Asking> = {
    nobody: { from },
    'a wrong token': { from, headers: bearer('wrong'.repeat(8)) },
    'a member': { headers: bearer(membership.readerTokens[0]!) },
    operator: { from, headers: bearer(operatorToken) },
    'the operator’s browser': { from, headers: { authorization: basicOf({ name: 'any', password: operatorToken }) } },
  };
  const host = listeningAddress(near.log(), 'supernode')!;
  const other = { host: `evil.example:${host.split(':')[1]}` };
  const loopback: Record<string, Record<string, string>> = {
    'on loopback: its own page': { 'sec-fetch-site': 'same-origin' },
    [ANOTHER_SITE]: { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' },
    'a page whose name leads here (DNS rebinding)': { ...other, 'sec-fetch-site': 'same-origin' },
  };
  const open = routes(
    await firstPeer((path) => cluster.ask(cluster.supernode, path, beyond['operator'])),
    held.cluster,
  );
  const own = routes(await firstPeer((path) => cluster.ask(host, path)), held.near);
  const columns = [
    ...Object.values(beyond).map((asking) => async (name: string) => {
      const { status } = await cluster.ask(cluster.supernode, open[name]!, { ...asking, onlyStatus: true });
      return outcome(status);
    }),
    ...Object.entries(loopback).map(([who, headers]) => async (name: string) => {
      const { status, isForAll } = await headOf(host, own[name]!, headers);
      return who === ANOTHER_SITE && status < 300 && !isForAll ? 'no (CORS)' : outcome(status);
    }),
  ];
  const rows = [];
  for (const name of Object.keys(open)) {
    const cells = await Promise.all(columns.map((attempt) => attempt(name)));
    rows.push([name, ...cells]);
  }
  return { head: ['GET', ...Object.keys(beyond), ...Object.keys(loopback)], rows };
}

async function firstPeer(ask: (path: string) => Promise<{ body: string }>): Promise<string> {
  const { peers } = JSON.parse((await ask('/api/v1/peers')).body) as { peers: { id: string }[] };
  return peers[0]!.id;
}

/** The status, and whether the answer lets pages of other sites read it (Fetch standard, 3.3.4). */
function headOf(host: string, path: string, headers: Readonly<Record<string, string>>) {
  return new Promise<{ status: number; isForAll: boolean }>((resolve, reject) => {
    const [hostname, port] = host.split(':');
    const asked = request({ hostname, port, path, headers, timeout: BOUND_MS }, (response) => {
      resolve({ status: response.statusCode!, isForAll: 'access-control-allow-origin' in response.headers });
      response.destroy();
    });
    asked.once('error', reject);
    asked.once('timeout', () => asked.destroy(new Error(`no answer: ${path}`)));
    asked.end();
  });
}
