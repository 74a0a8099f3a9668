import t from 'tap';
import type { GatedTransport } from '../../src/http/gated-transport.ts';
import { RetiredTransports } from '../../src/http/retired-transports.ts';
import { ManualClock } from '../support/manual-clock.ts';

t.test('its idle connections go at once and each minute for an hour, then nobody looks any more', async (t) => {
  const clock = new ManualClock();
  const retired = new RetiredTransports(clock);
  let looks = 0;
  const transport = { closeIdle: () => void (looks += 1) } as unknown as GatedTransport;
  retired.add(transport);
  t.equal(looks, 1);
  await clock.advance(60_000);
  t.equal(looks, 2);
  t.same([...retired], [transport]);
  for (let minute = 2; minute <= 60; minute += 1) await clock.advance(60_000);
  t.equal(looks, 61);
  t.same([...retired], []);
  t.equal(clock.waiting, 0);
});
