import { readdirSync } from 'node:fs';
import t from 'tap';
import { Demo, type DemoOptions, type NodePull } from '../../../src/app/demo/demo.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { MiB } from '../../../src/base/units.ts';

const OPTIONS: DemoOptions = {
  nodes: 3,
  imageBytes: 2 * MiB,
  unpulled: true,
  log: silentLogger,
  signal: new AbortController().signal,
};

// Other files' demonstrations are not to be seen here.
const TMP = t.testdir({});
process.env['TMPDIR'] = TMP;

function leftBehind(): string[] {
  return readdirSync(TMP);
}

t.test(
  'all pull at once: from the origin and from each other, then from their stores, also on their own',
  async (t) => {
    const demo = await Demo.start(OPTIONS);
    const looks: (readonly NodePull[])[] = [];
    const cold = await demo.pull((nodes) => void looks.push(nodes));
    t.same(
      cold.nodes.map(({ node, bytes }) => [node, bytes]),
      [1, 2, 3].map((node) => [node, demo.imageBytes]),
    );
    const sumOf = (of: 'originBytes' | 'peerBytes') => cold.nodes.reduce((sum, node) => sum + node[of], 0);
    t.ok(sumOf('originBytes') >= demo.imageBytes, 'once at least');
    t.ok(sumOf('peerBytes') > 0, 'and from each other');
    t.ok(cold.originBytes >= sumOf('originBytes'), 'the origin has sent what nodes took');
    for (const { originBytes, peerBytes } of cold.nodes) t.ok(originBytes + peerBytes >= demo.imageBytes);
    t.ok(looks.length > 0, 'it is said how far they are');

    const none = { originBytes: 0, nodes: [1, 2, 3].map((node) => ({ node, originBytes: 0, peerBytes: 0 })) };
    t.match(await demo.pull(), none);
    const { mirror } = demo.nodes[2]!;
    const answer = await fetch(`${mirror}/v2/demo/app/manifests/v2`);
    t.same([answer.status, answer.headers.get('x-hawker-source')], [200, 'origin'], 'what nobody has pulled');
    await answer.arrayBuffer();
    await demo.stopOriginAndSupernode();
    t.match(await demo.pull(), none);
    await demo.stop();
    t.same(leftBehind(), [], 'nothing is left');
    await t.rejects(fetch(mirror), 'nothing listens any more');
  },
);

t.test('one that is given up leaves nothing behind', async (t) => {
  const given = new AbortController();
  const reason = new Error('enough');
  const demo = await Demo.start({ ...OPTIONS, nodes: 2, imageBytes: 64 * MiB, signal: given.signal });
  const pulling = demo.pull(([first]) => {
    if (first!.bytes > 0) given.abort(reason);
  });
  await t.rejects(pulling, reason);
  t.equal(leftBehind().length, 1);
  demo.abandon();
  t.same(leftBehind(), [], 'a process that ends at once removes it first');
  await demo.stop();
  await t.rejects(Demo.start({ ...OPTIONS, signal: given.signal }), reason);
  t.same(leftBehind(), []);
});

t.test('a disk without the room for it is said before', async (t) => {
  await t.rejects(Demo.start({ ...OPTIONS, imageBytes: 2 ** 60 }), { code: 'DEMO_NEEDS_ROOM' });
});
