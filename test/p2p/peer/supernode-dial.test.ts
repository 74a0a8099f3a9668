import t from 'tap';
import { networkCandidates, RESOLVE_TIMEOUT_MS } from '../../../src/p2p/peer/supernode-dial.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { turns } from '../../support/scripted-supernode.ts';

t.test('all addresses of a name, IPv4 and IPv6 in turn, in the same order for every proxy', async (t) => {
  const clock = new ManualClock();
  const of = async (addresses: string[], url = 'http://name:6789') =>
    (await networkCandidates(clock, async () => addresses)(url)).map(({ address }) => address);
  const expected = ['[fd00::1]:6789', '10.0.0.1:6789', '[fd00::2]:6789', '10.0.0.2:6789', '10.0.0.3:6789'];
  t.same(await of(['fd00::2', 'fd00::1', '10.0.0.3', '10.0.0.1', '10.0.0.2', '10.0.0.2']), expected);
  t.same(await of(['fd00::1', 'fd00::2', '10.0.0.1', '10.0.0.2', '10.0.0.3']), expected);
  t.same(await of(['10.0.0.2', '10.0.0.1', 'fd00::1']), ['10.0.0.1:6789', '[fd00::1]:6789', '10.0.0.2:6789']);
  t.equal((await of(Array.from({ length: 20 }, (_none, n) => `10.0.0.${n}`))).length, 8);
  t.same(await of([], 'http://[::1]'), ['[::1]:80']);
  t.same(await of(['10.0.0.1'], 'https://name'), ['10.0.0.1:443']);
});

t.test('a DNS that is silent holds two threads at most, and its answer is used when it comes', async (t) => {
  const clock = new ManualClock();
  const open: ((addresses: string[]) => void)[] = [];
  let asked = 0;
  const find = networkCandidates(clock, () => {
    asked += 1;
    return new Promise((resolve) => open.push(resolve));
  });
  const ask = async () => {
    const found = find('http://name:1').then(
      (candidates) => candidates.map(({ address }) => address),
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
    await turns();
    return found;
  };
  for (let n = 0; n < 10; n += 1) {
    const found = ask();
    await turns();
    await clock.advance(RESOLVE_TIMEOUT_MS);
    t.match(await found, /SUPERNODE_UNRESOLVED.*no answer within/);
  }
  t.equal(asked, 2);
  const waiting = ask();
  await turns();
  open[1]!(['10.0.0.1']);
  t.same(await waiting, ['10.0.0.1:1']);
  const next = ask();
  await turns();
  t.equal(asked, 3, 'the next one asks anew');
  open[2]!(['10.0.0.2']);
  t.same(await next, ['10.0.0.2:1']);
  t.equal(clock.waiting, 0);
});
