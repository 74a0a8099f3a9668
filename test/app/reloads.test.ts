import t from 'tap';
import { Reloads } from '../../src/app/reloads.ts';
import type { Config } from '../../src/config/config.ts';

t.test('each part takes up its settings by itself; one that cannot holds no other up', async (t) => {
  const reloads = new Reloads();
  const config = {} as Config;
  t.same(await reloads.run(config), { keys: [], errors: [] });
  const seen: unknown[] = [];
  const fault = new Error('no');
  reloads.add({ keys: ['log.level'], take: async (next) => void seen.push(next) });
  reloads.add({ keys: ['store.quota'], take: () => Promise.reject(fault) });
  reloads.add({ keys: ['peer.zone', 'peer.advertise'], take: async (next) => void seen.push(next) });
  t.same(await reloads.run(config), { keys: ['log.level', 'peer.zone', 'peer.advertise'], errors: [fault] });
  t.same(seen, [config, config]);
});
