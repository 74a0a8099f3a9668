import t from 'tap';
import { causesOf, todoOf } from '../../../src/dashboard/page/causes.ts';
import type { PeerRow, RejectedRow, Snapshot } from '../../../src/dashboard/page/model.ts';

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

function peer(id: string, state: PeerRow['state'], more: Partial<PeerRow> = {}): PeerRow {
  const reason = state === 'ready' ? '' : `it is ${state}`;
  const plain = { instance: `${id}-1`, host: `host-${id}`, addresses: [], zone: '', version: '1.0.0', blobs: 0 };
  return { ...plain, id, state, reason, since: at(0), ...more };
}

function rejected(code: string, more: Partial<RejectedRow> = {}): RejectedRow {
  const plain = { address: '10.0.0.9', host: '', peer: '', message: `${code} it was`, todo: `mend ${code}` };
  return { ...plain, code, at: at(10), count: 1, ...more };
}

function causes(peers: PeerRow[], refused: RejectedRow[] = []) {
  const ready = peers.filter(({ state }) => state === 'ready').length;
  const counts = { ready, unreachable: 0, stale: 0, left: 0, rejected: refused.length } as Snapshot['counts'];
  return causesOf({ counts, peers, rejected: refused });
}

t.test('while all is well there is none; nor where nobody came', async (t) => {
  t.same(causes([peer('a', 'ready')]), []);
  t.same(causes([]), []);
});

t.test('those with the same cure stand together, each with its own reason, the latest first', async (t) => {
  const found = causes(
    [
      peer('a', 'ready'),
      peer('b', 'unreachable', { since: at(1) }),
      peer('c', 'unreachable', { since: at(2), host: '' }),
      peer('d', 'stale'),
    ],
    [rejected('NOT_A_MEMBER', { count: 7 }), rejected('NOT_A_MEMBER', { host: 'x' }), rejected('FULL')],
  );
  t.match(
    found.map(({ kind, code, who }) => [kind, code, who.map(({ name }) => name)]),
    [
      ['rejected', 'NOT_A_MEMBER', ['10.0.0.9', 'x (10.0.0.9)']],
      ['rejected', 'FULL', ['10.0.0.9']],
      ['unreachable', '', ['c', 'host-b']],
      ['stale', '', ['host-d']],
    ],
  );
  t.match(found[0], { todo: 'mend NOT_A_MEMBER', who: [{ why: 'NOT_A_MEMBER it was', count: 7, peer: '' }] });
  t.match(found[2], { todo: /peer\.advertise/, who: [{ peer: 'c', why: 'it is unreachable' }] });
});

t.test('what is settled or meant needs no look, unless nobody is ready', async (t) => {
  const away = [
    peer('b', 'left', { reason: 'it stopped' }),
    peer('c', 'unreachable', { reason: 'its piece port is being tested' }),
  ];
  const refused = [
    rejected('NOT_A_MEMBER', { host: 'host-a' }),
    rejected('PROTOCOL_VERSION', { peer: 'a' }),
    rejected('OLD_EPOCH', { todo: 'nothing: it comes again' }),
  ];
  t.same(causes([peer('a', 'ready', { since: at(11) }), ...away], refused), []);
  t.equal(causes(away, refused).length, 5);
  const before = causes([peer('a', 'ready', { since: at(9) })], refused);
  t.same(
    before.map(({ code }) => code),
    ['NOT_A_MEMBER', 'PROTOCOL_VERSION'],
    'a refusal after it became ready is not settled: two have the same id, say',
  );
});

t.test('each state has its cure', async (t) => {
  const todo = (state: string, reason = '') => todoOf({ state, reason });
  t.equal(todo('ready'), '');
  t.match(todo('unreachable', 'connect ECONNREFUSED'), /firewall/);
  t.match(todo('unreachable', 'it advertises no address'), /peer\.advertise/);
  t.match(todo('unreachable', 'its piece port is being tested'), /^nothing yet/);
  t.match(todo('stale'), /network/);
  t.match(todo('left', 'it stopped'), /^nothing, if/);
  t.match(todo('left', 'its connection was closed'), /hawker doctor/);
});
