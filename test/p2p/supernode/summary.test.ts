import t from 'tap';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { Summaries, SUMMARY_MS, type Summary } from '../../../src/p2p/supernode/summary.ts';
import { registration } from './session-rig.ts';

function rig() {
  const roster = new Roster({ heartbeatMs: 10 * SUMMARY_MS, random: Math.random });
  const said: Summary[] = [];
  const summaries = new Summaries(roster, 0, (summary) => said.push(summary));
  const look = (now: number) => {
    summaries.look(now);
    return said.splice(0);
  };
  return { roster, look };
}

t.test('who is missing is said every few minutes, with the reasons, until nobody is', async (t) => {
  const { roster, look } = rig();
  const about = registration('a');
  roster.apply({ kind: 'register', connection: 1, from: 'x', registration: about }, 0);
  t.same(look(SUMMARY_MS - 1), []);
  t.match(look(SUMMARY_MS), [
    {
      counts: { ready: 0, unreachable: 1 },
      message: '0 peers are ready; host-of-a is unreachable (its piece port is being tested)',
      todo: /hawker peers/,
    },
  ]);
  t.same(look(SUMMARY_MS + 1), []);
  roster.apply({ kind: 'tested', ...about, result: { address: 'a:65002' } }, SUMMARY_MS + 1);
  t.same(look(2 * SUMMARY_MS), []);
});

t.test('who was refused is named once; many are counted', async (t) => {
  const { roster, look } = rig();
  for (let n = 0; n < 7; n += 1) {
    roster.apply({ kind: 'refused', from: `10.0.0.${n}`, code: 'NOT_A_MEMBER', message: 'no' }, 1000);
  }
  const [summary] = look(SUMMARY_MS);
  t.match(
    summary!.message,
    /^0 peers are ready; 10.0.0.0 was refused 1 times \(NOT_A_MEMBER: no\); .*; 2 more like these$/,
  );
  t.same(look(2 * SUMMARY_MS), [], 'that is long ago');
});
