import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Chance } from '../../scripts/soak/chance.ts';
import { faultsOfStore, storeBytes } from '../../scripts/soak/disk.ts';
import { growthOf } from '../../scripts/soak/growth.ts';
import { Content, Images } from '../../scripts/soak/images.ts';

const MiB = 1024 * 1024;

t.test('a blob’s bytes are the same whichever part is asked for', (t) => {
  const content = new Content('some', 3 * MiB + 77, false);
  const whole = Buffer.concat([...content.parts(0, content.size)]);
  t.equal(`sha256:${createHash('sha256').update(whole).digest('hex')}`, content.digest);
  for (const [start, end] of [
    [0, 1],
    [15, 17],
    [MiB - 1, 2 * MiB + 5],
    [3 * MiB + 76, 3 * MiB + 77],
  ] as const)
    t.ok(Buffer.concat([...content.parts(start, end)]).equals(whole.subarray(start, end)), `${start}-${end}`);
  t.end();
});

t.test('the same seed gives the same images and the same chances', (t) => {
  const [one, two, other] = ['1', '1', '2'].map((seed) => {
    const images = new Images(seed);
    for (let n = 0; n < 5; n += 1) images.add();
    return images.at(4).manifestDigest;
  });
  t.equal(one, two);
  t.not(one, other);
  const [a, b] = [new Chance('x', 1), new Chance('x', 1)];
  t.same(
    Array.from({ length: 9 }, () => a.whole(0, 1000)),
    Array.from({ length: 9 }, () => b.whole(0, 1000)),
  );
  t.end();
});

t.test('what rises is told from what goes up and down', (t) => {
  const series = (of: (n: number) => number) => Array.from({ length: 60 }, (_, n) => ({ at: n, value: of(n) }));
  const wild = series((n) => 100 * MiB + (n % 7) * 5 * MiB);
  t.equal(growthOf('wild', 'resident', wild, false).isTooMuch, false);
  const rising = series((n) => 100 * MiB + n * MiB);
  t.equal(growthOf('rising', 'resident', rising, false).isTooMuch, true);
  t.equal(growthOf('rising', 'resident', rising, true).isTooMuch, false, 'in the first minutes that may be');
  t.equal(growthOf('none', 'heap', [], false).isTooMuch, false);
  t.end();
});

t.test('what a store may not leave behind', async (t) => {
  const dir = t.testdir();
  const bytes = Buffer.from('bytes');
  const hex = createHash('sha256').update(bytes).digest('hex');
  const put = async (path: string, what: Buffer | string = 'x') => {
    await mkdir(join(dir, path, '..'), { recursive: true });
    await writeFile(join(dir, path), what);
  };
  await put(`v1/blobs/sha256/${hex.slice(0, 2)}/${hex}`, bytes);
  await put(`v1/incoming/sha256-${hex}`);
  await put(`v1/incoming/sha256-${hex}.journal`);
  await put('v1/peer-id');
  t.same(await faultsOfStore(dir), []);
  t.ok((await storeBytes(dir)) > 0);
  const other = 'f'.repeat(64);
  await put(`v1/blobs/sha256/ff/${other}`, bytes);
  await put(`v1/incoming/sha256-${other}`);
  await put('v1/refs/some.new');
  t.same((await faultsOfStore(dir)).toSorted(), [
    'left over: v1/refs/some.new',
    `other bytes: v1/blobs/sha256/ff/${other}`,
    `without its journal: v1/incoming/sha256-${other}`,
  ]);
});
