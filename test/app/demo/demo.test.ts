import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import { demo, type DemoPull } from '../../../src/app/demo/demo.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { runDemo } from '../../../src/cli/demo.ts';
import type { ProcessPort } from '../../../src/cli/process-port.ts';

function leftBehind(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('hawker-demo-') && existsSync(`${tmpdir()}/${name}`));
}

t.test('three pulls: from the origin once, then from the store, also when the origin is gone', async (t) => {
  const before = leftBehind();
  const { pulls, imageBytes, layers } = demo({ log: silentLogger });
  const all: DemoPull[] = [];
  for await (const pull of pulls) all.push(pull);
  t.equal(layers, 4);
  t.same(
    all.map(({ name, originBytes, storeBytes }) => ({ name, originBytes, storeBytes })),
    [
      { name: 'cold', originBytes: imageBytes, storeBytes: 0 },
      { name: 'warm', originBytes: 0, storeBytes: imageBytes },
      { name: 'origin stopped', originBytes: 0, storeBytes: imageBytes },
    ],
  );
  t.same(leftBehind(), before, 'it leaves nothing behind');
});

t.test('a demonstration that is left early leaves nothing behind', async (t) => {
  const before = leftBehind();
  for await (const { name } of demo({ log: silentLogger }).pulls) {
    t.equal(name, 'cold');
    break;
  }
  t.same(leftBehind(), before);
});

t.test('the command prints a table, a line a pull', async (t) => {
  const printed: string[] = [];
  const port = { print: (text: string) => void printed.push(text) } as unknown as ProcessPort;
  const pull = { imageBytes: 2 ** 26, originBytes: 0, storeBytes: 2 ** 26, seconds: 0.5, name: 'warm' as const };
  const pulls = (async function* () {
    yield pull;
  })();
  await runDemo({ layers: 4, imageBytes: 2 ** 26, pulls }, port);
  t.match(printed.join(''), /64 MiB in 4 layers[^]*warm +0\.50 +128 +0 B +64 MiB\n/);
});
