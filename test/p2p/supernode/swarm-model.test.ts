import fc from 'fast-check';
import t from 'tap';
import { checked } from '../../support/checked.ts';
import { ACTS, play } from './model/acts.ts';
import { allAreServed, leaveNothing, settle } from './model/ends.ts';
import { Model } from './model/model.ts';

/*
 * Whatever happens to a swarm, its decisions keep the rules (model/rules.ts), its own counts are right (model/audit.ts), all who
 * want something get it in the end or are told that nobody can give it, and nothing stays behind.
 */

t.test('whatever happens: the rules are kept, nobody is forgotten, nothing is left behind', (t) => {
  checked(
    t,
    500,
    fc.property(ACTS, fc.boolean(), (acts, rangesAreKnown) => {
      const model = new Model(rangesAreKnown);
      play(model, acts);
      settle(model);
      allAreServed(model);
      leaveNothing(model);
    }),
  );
  t.end();
});

t.test('the same events with the same numbers give the same decisions', (t) => {
  checked(
    t,
    20,
    fc.property(ACTS, (acts) => {
      const [one, two] = [new Model(), new Model()];
      play(one, acts);
      play(two, acts);
      return JSON.stringify(one.log) === JSON.stringify(two.log);
    }),
  );
  t.end();
});
