import t from 'tap';
import type { PeerRow } from '../../../src/dashboard/page/model.ts';
import { PAGE_ROWS, peerRows, summaryText, type PeerQuery } from '../../../src/dashboard/page/rows.ts';

const QUERY: PeerQuery = { text: '', state: '', column: 'state', descending: false, page: 0 };

function peer(number: number, more: Partial<PeerRow> = {}): PeerRow {
  return {
    id: `peer-${number}`,
    instance: `instance-${number}`,
    host: `node-${String(number).padStart(4, '0')}`,
    addresses: [`10.0.0.${number % 250}:65002`],
    zone: number % 2 === 0 ? 'east' : 'west',
    version: '1.2.3',
    state: 'ready',
    reason: '',
    since: new Date(number * 1000).toISOString(),
    blobs: number % 7,
    ...more,
  };
}

t.test('a page at a time; one that is not there any more is the last', async (t) => {
  const peers = Array.from({ length: 2 * PAGE_ROWS + 5 }, (_, number) => peer(number));
  const first = peerRows(peers, QUERY);
  t.match(first, { found: 205, page: 0, pages: 3 });
  t.same(
    first.rows.map(({ host }) => host),
    peers.slice(0, PAGE_ROWS).map(({ host }) => host),
  );
  t.equal(peerRows(peers, { ...QUERY, page: 2 }).rows.length, 5);
  t.match(peerRows(peers.slice(0, 3), { ...QUERY, page: 2 }), { found: 3, page: 0, pages: 1 });
  t.match(peerRows([], QUERY), { rows: [], found: 0, page: 0, pages: 1 });
});

t.test('those with trouble first; by any column, either way', async (t) => {
  const peers = [peer(1), peer(2, { state: 'left' }), peer(3, { state: 'unreachable' }), peer(4, { state: 'stale' })];
  const hosts = (query: Partial<PeerQuery>) =>
    peerRows(peers, { ...QUERY, ...query }).rows.map(({ id }) => id.slice(5));
  t.same(hosts({}), ['3', '4', '2', '1']);
  t.same(hosts({ column: 'host', descending: true }), ['4', '3', '2', '1']);
  t.same(hosts({ column: 'zone' }), ['2', '4', '1', '3']);
  t.same(hosts({ column: 'blobs', descending: true }), ['4', '3', '2', '1']);
  t.same(hosts({ state: 'stale' }), ['4']);
});

t.test('each word is looked for in all that is known of a peer', async (t) => {
  const peers = [peer(1, { reason: 'connect ECONNREFUSED', state: 'unreachable' }), peer(2), peer(3)];
  const found = (text: string) => peerRows(peers, { ...QUERY, text }).rows.map(({ id }) => id);
  t.same(found(' econnrefused  WEST '), ['peer-1']);
  t.same(found('10.0.0.2:'), ['peer-2']);
  t.same(found('node-0003 east'), []);
});

t.test('the line for screen readers names what there is', async (t) => {
  const counts = { ready: 2, unreachable: 1, stale: 0, left: 0, rejected: 3 };
  t.equal(summaryText({ counts } as Parameters<typeof summaryText>[0]), '2 ready, 1 unreachable, 3 rejected');
});
