import t from 'tap';
import { FIRST_REST_MS, Holders, MAX_REST_MS, MAX_STRIKES } from '../../../src/p2p/peer/holders.ts';
import { targetOf } from '../../support/scripted-neighbours.ts';

function holdersOf(...peers: string[]): Holders {
  const holders = new Holders();
  for (const peer of peers) holders.add(targetOf(peer));
  return holders;
}

const names = (holders: Holders, now: number, isLastResort = false) =>
  holders.usable(now, isLastResort).map(({ peer }) => peer);

t.test('who has failed least is asked', (t) => {
  const holders = holdersOf('a', 'b', 'c');
  holders.failed('a', 'busy', 0);
  t.same(names(holders, 0), ['b', 'c']);
  t.same(names(holders, FIRST_REST_MS), ['b', 'c'], 'also when a has rested');
  holders.failed('b', 'timeout', 0);
  holders.failed('c', 'busy', 0);
  t.same(names(holders, 0), []);
  t.equal(holders.restedAt(0), FIRST_REST_MS);
  t.same(names(holders, FIRST_REST_MS), ['a', 'c'], 'a failure is worse than to be busy');
  t.same(names(holders, FIRST_REST_MS, true), ['a', 'b', 'c'], 'while there is something better');
  holders.gave('b');
  t.same(names(holders, 0), [], 'it stays doubtful');
  t.same(names(holders, 0, true), ['b']);
  t.end();
});

t.test('rests grow, and end; failures at one time count once', (t) => {
  const holders = holdersOf('a');
  let now = 0;
  for (let strike = 1; strike < MAX_STRIKES; strike += 1) {
    holders.failed('a', 'reset', now);
    holders.failed('a', 'reset', now);
    const rest = Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** (strike - 1));
    t.equal(holders.restedAt(now), now + rest);
    now += rest;
  }
  t.notOk(holders.isEmpty);
  holders.failed('a', 'reset', now);
  t.ok(holders.isEmpty);
  t.equal(holders.restedAt(now), Infinity);
  holders.add(targetOf('a'));
  t.same(names(holders, now), ['a'], 'it may be found again');
  t.end();
});

t.test('a slow one waits for its own word', (t) => {
  const holders = holdersOf('a');
  holders.isSlow('a');
  t.same(names(holders, 1e9, true), []);
  t.notOk(holders.isEmpty);
  holders.gave('a');
  t.same(names(holders, 0, true), ['a']);
  holders.isSlow('a');
  holders.failed('a', 'timeout', 0);
  t.equal(holders.restedAt(0), FIRST_REST_MS);
  t.end();
});

t.test('who has it no more is left; who gives something else is left for good', (t) => {
  const holders = holdersOf('a', 'b');
  holders.failed('a', 'gone', 0);
  holders.failed('b', 'bad', 0);
  holders.failed('stranger', 'bad', 0);
  holders.gave('stranger');
  holders.isSlow('stranger');
  t.ok(holders.isEmpty);
  t.same([...holders.settled], ['b']);
  for (const peer of ['a', 'b']) holders.add(targetOf(peer));
  t.same(names(holders, 0), ['a']);
  t.same([...holders.settled], ['b', 'a']);
  t.end();
});
