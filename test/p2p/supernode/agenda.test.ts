import fc from 'fast-check';
import t from 'tap';
import { Agenda } from '../../../src/p2p/supernode/agenda.ts';

t.test('tasks come out by their time, then by when they were put in, and none before its time', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), (times) => {
      const agenda = new Agenda();
      const done: [number, number][] = [];
      times.forEach((at, i) => agenda.add(at, () => done.push([at, i])));
      for (let now = 0; now <= 50; now += 10) {
        for (let task = agenda.takeDue(now); task; task = agenda.takeDue(now)) task();
        if (agenda.nextAt <= now || done.some(([at]) => at > now)) return false;
      }
      const expected = times.map((at, i) => [at, i] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      return JSON.stringify(done) === JSON.stringify(expected);
    }),
  );
  t.equal(new Agenda().nextAt, Number.POSITIVE_INFINITY);
});
