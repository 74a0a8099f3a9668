import t from 'tap';
import { PAUSE_MS, ROUND_MS, Rounds } from '../../../src/p2p/supernode/rounds.ts';

function rig(start: number) {
  const did: string[] = [];
  const rounds = new Rounds(start, {
    paused: (ms) => did.push(`paused ${ms}`),
    round: (now) => did.push(`round ${now}`),
  });
  return { rounds, take: () => did.splice(0) };
}

t.test('a round when it is due, the next one counted from then', async (t) => {
  const { rounds, take } = rig(1000);
  t.equal(rounds.dueAt, 1000 + ROUND_MS);
  rounds.tick(1000 + ROUND_MS - 1);
  t.same(take(), []);
  rounds.tick(1000 + ROUND_MS + 7);
  t.same(take(), [`round ${1000 + ROUND_MS + 7}`]);
  t.equal(rounds.dueAt, 1000 + 2 * ROUND_MS + 7);
});

t.test('a round that is very late shows that this process did not run, which is said first', async (t) => {
  const { rounds, take } = rig(0);
  rounds.tick(ROUND_MS + PAUSE_MS - 1);
  t.same(take(), [`round ${ROUND_MS + PAUSE_MS - 1}`], 'load');
  const late = rounds.dueAt + PAUSE_MS;
  rounds.tick(late);
  t.same(take(), [`paused ${PAUSE_MS}`, `round ${late}`]);
});
