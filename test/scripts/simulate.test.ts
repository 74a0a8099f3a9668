import fc from 'fast-check';
import t from 'tap';
import { ALL_RULES } from '../../src/p2p/supernode/limits.ts';
import { Link } from '../../scripts/simulate/flow.ts';
import { Network } from '../../scripts/simulate/network.ts';
import { parseOptions } from '../../scripts/simulate/options.ts';
import { lowerBound, PLAIN } from '../../scripts/simulate/scenario.ts';
import { scenario, SCENARIOS } from '../../scripts/simulate/scenarios.ts';
import { Simulation } from '../../scripts/simulate/simulation.ts';
import { quantile } from '../../scripts/simulate/table.ts';

t.test('every scenario ends, and the origin is read once', async (t) => {
  for (const name of Object.keys(SCENARIOS)) {
    const run = scenario(name, {
      nodes: name === 'lone' ? 1 : 20,
      ...(name !== 'manifest' && { sizes: [100e6, 20e6] }),
      // What is on its way when a read is cut comes in vain: little here.
      ...(name !== 'lone' && { originRtt: 1 }),
    });
    const outcome = new Simulation(run).run();
    t.equal(outcome.unfinished, 0, name);
    const once = run.sizes.reduce((sum, size) => sum + size, 0);
    const most = run.rangesKnown && run.deaths === 0 ? 1.02 : 1.15;
    if (run.warm > 0) t.equal(outcome.originBytes, 0, name);
    else
      t.ok(outcome.originBytes >= once && outcome.originBytes <= most * once, `${name}: ${outcome.originBytes / once}`);
  }
});

t.test('a cold crowd comes close to the lower bound; without its rules it does not', async (t) => {
  const p50 = (rules = {}, originRate = 300e3) => {
    const run = { ...PLAIN, nodes: 10, spread: 100, originRate, rules };
    return quantile(new Simulation(run).run().times, 0.5) / lowerBound(run);
  };
  t.ok(p50() < 1.1);
  t.ok(p50({}, 1200e3) < 1.06);
  t.ok(p50({ cutLone: false, halve: false, fanOut: false }) > 3);
});

t.test('the same seed gives the same run', async (t) => {
  const run = () => new Simulation({ ...PLAIN, nodes: 10, sizes: [50e6], seed: 3 }).run().times;
  t.same(run(), run());
});

t.test('a link is shared, and what one flow cannot use the others get', async (t) => {
  const network = new Network();
  const [wide, narrow, down] = [new Link(100), new Link(10), new Link(100)];
  const ended: [string, number][] = [];
  const start = (name: string, up: Link, bytes: number) =>
    network.start(up, down, { bytes, now: 0, done: () => (ended.push([name, network.nextAt]), 0) });
  const slow = start('slow', narrow, 100);
  const fast = start('fast', wide, 900);
  t.equal(slow.rate, 10);
  t.equal(fast.rate, 90);
  t.equal(network.nextAt, 10);
  t.equal(network.stop(slow, 5), 50);
  t.equal(network.flows, 1);
  t.equal(network.nextAt, 5 + 450 / 100);
});

t.test('no link carries more than it can, and each flow is held back somewhere', async (t) => {
  const pair = fc.record({ up: fc.nat(5), down: fc.nat(5), cap: fc.constantFrom(1, 20, Number.POSITIVE_INFINITY) });
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 12, maxLength: 12 }),
      fc.array(pair),
      (of, pairs) => {
        const links = of.map((capacity) => new Link(capacity));
        const network = new Network();
        const flows = pairs.map(({ up, down, cap }) =>
          network.start(links[up]!, links[6 + down]!, { bytes: 1e6, cap, now: 0, done: () => 0 }),
        );
        for (const flow of flows.splice(0, Math.floor(flows.length / 3))) network.stop(flow, 0);
        const used = (link: Link) => link.flows.reduce((sum, flow) => sum + flow.rate, 0);
        for (const link of links) if (used(link) > 1.02 * link.capacity) throw new Error('too much for one link');
        for (const flow of flows) {
          const isHeldBack = [flow.up, flow.down].some((link) => used(link) > 0.97 * link.capacity);
          if (!isHeldBack && flow.rate < 0.97 * flow.cap) throw new Error('a flow could have more');
        }
      },
    ),
  );
  t.pass('100 networks');
});

t.test('a request cannot be made shorter: what was sent when it is broken off comes in vain', async (t) => {
  const origin = (originRtt: number) =>
    new Simulation({ ...PLAIN, nodes: 10, sizes: [100e6], spread: 100, originRtt }).run().originBytes;
  t.ok(origin(0.01) < 1.002 * 100e6);
  t.ok(origin(20) > 1.02 * 100e6);
});

t.test('quantiles', async (t) => {
  const values = Array.from({ length: 100 }, (_none, i) => 100 - i);
  t.same(
    [0, 0.5, 0.99, 1].map((part) => quantile(values, part)),
    [1, 50, 99, 100],
  );
  t.equal(quantile([7], 0.5), 7);
  t.equal(quantile([], 0.5), 0);
});

t.test('options', async (t) => {
  t.match(parseOptions([]), { scenarios: [], seeds: [1] });
  t.match(parseOptions(['--nodes', '10,100', '--origin', '300', '--size', '800MB,400MB', '--without', 'trim,window']), {
    scenarios: ['cold'],
    nodes: [10, 100],
    originRates: [300e3],
    options: { sizes: [800e6, 400e6], rules: { cutLone: false, halve: false, window: false } },
  });
  for (const rule of Object.keys(ALL_RULES))
    t.match(parseOptions(['--without', rule]).options.rules, { [rule]: false });
  for (const wrong of [['--without', 'x'], ['--nodes', 'many'], ['--size', '5'], ['--scenario', 'x'], ['--bogus']]) {
    t.throws(() => parseOptions(wrong), wrong.join(' '));
  }
});
