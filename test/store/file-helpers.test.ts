import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { eachWithLimit, readWhole, replaceWhole, unlinkIfThere } from '../../src/store/file-helpers.ts';
import { nodeFiles } from '../../src/store/files.ts';
import { FaultyFiles, systemError } from './faulty-files.ts';
import { temporaryDirectory } from './temporary.ts';

t.test('a file is read whole, up to a size; one that is not there is undefined', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  t.equal(await readWhole(nodeFiles, path, 100), undefined);
  await writeFile(path, 'x'.repeat(100));
  t.equal(String(await readWhole(nodeFiles, path, 100)), 'x'.repeat(100));
  await t.rejects(readWhole(nodeFiles, path, 99), { code: 'EFBIG' });
  const files = new FaultyFiles();
  files.fault = ({ op }) => (op === 'open read' ? systemError('EACCES') : undefined);
  await t.rejects(readWhole(files, path, 100), { code: 'EACCES' });
});

t.test('a file is replaced whole or not at all', async (t) => {
  const dir = await temporaryDirectory(t);
  const path = join(dir, 'file');
  await replaceWhole(nodeFiles, path, Buffer.from('first'));
  for (let step = 0; ; step += 1) {
    const files = new FaultyFiles();
    files.dieAt = step;
    const died = await replaceWhole(files, path, Buffer.from('second')).then(
      () => false,
      () => true,
    );
    const content = String(await readWhole(nodeFiles, path, 100));
    if (!died) {
      t.equal(content, 'second');
      break;
    }
    t.equal(content, 'first', `killed at call ${step}`);
  }
  t.same(await readdir(dir), ['file']);
});

t.test('to unlink what is not there is fine, other errors are not', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  await unlinkIfThere(nodeFiles, path);
  const files = new FaultyFiles();
  files.fault = () => systemError('EPERM');
  await t.rejects(unlinkIfThere(files, path), { code: 'EPERM' });
});

t.test('eachWithLimit works on all, so many at a time', async (t) => {
  let running = 0;
  let most = 0;
  const seen = new Set<number>();
  const items = Array.from({ length: 50 }, (_, i) => i);
  await eachWithLimit(items, 7, async (item) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    running -= 1;
    seen.add(item);
  });
  t.equal(seen.size, 50);
  t.equal(most, 7);
  const failing = eachWithLimit(items, 3, async (item) => {
    if (item === 20) throw new Error('no');
  });
  await t.rejects(failing, /no/);
});
