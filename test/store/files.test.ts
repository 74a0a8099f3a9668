import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { MiB } from '../../src/base/units.ts';
import { nodeFiles } from '../../src/store/files.ts';
import { temporaryDirectory } from './temporary.ts';

t.test('a file gives the same on this thread and through the pool', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  const bytes = Buffer.alloc(3 * MiB, 'abc');
  const made = await nodeFiles.open(path, 'create');
  await made.write(bytes, 0);
  await made.setModified(1_700_000_000_000);
  await made.sync();
  await made.truncate(2 * MiB);
  t.same(made.statNow(), await made.stat());
  t.equal(made.statNow().modifiedMs <= Date.now(), true);
  await made.close();
  t.ok((await readFile(path)).equals(bytes.subarray(0, 2 * MiB)));
  const now = nodeFiles.openNow(path);
  const pooled = await nodeFiles.open(path, 'read');
  const [one, other] = [Buffer.alloc(MiB), Buffer.alloc(MiB)];
  t.equal(now.readNow(one, 1000), await pooled.read(other, 1000));
  t.ok(one.equals(other));
  t.equal(now.readNow(one, 2 * MiB), 0, 'the end');
  await now.closeNow();
  await pooled.close();
});

t.test('no symlink is followed, and what is not there is an error, both ways', async (t) => {
  const dir = await temporaryDirectory(t);
  await writeFile(join(dir, 'file'), 'x');
  await symlink(join(dir, 'file'), join(dir, 'link'));
  t.throws(() => nodeFiles.openNow(join(dir, 'link')), { code: 'ELOOP' });
  t.throws(() => nodeFiles.openNow(join(dir, 'none')), { code: 'ENOENT' });
  await t.rejects(nodeFiles.open(join(dir, 'link'), 'read'), { code: 'ELOOP' });
  await t.rejects(nodeFiles.open(join(dir, 'none'), 'read'), { code: 'ENOENT' });
});

t.test('a close waits for the calls under way: another file may have the number at once', async (t) => {
  const dir = await temporaryDirectory(t);
  const bytes = Buffer.alloc(4 * MiB, 'x');
  await writeFile(join(dir, 'file'), bytes);
  for (const how of ['close', 'closeNow'] as const) {
    const file = await nodeFiles.open(join(dir, 'file'), 'read');
    const buffer = Buffer.alloc(4 * MiB);
    const order: string[] = [];
    const reading = file.read(buffer, 0).then((count) => order.push(`read ${count}`));
    const closing = file[how]().then(() => order.push('closed'));
    await Promise.all([reading, closing]);
    t.same(order, [`read ${4 * MiB}`, 'closed'], how);
    await t.rejects(file.read(buffer, 0), { code: 'EBADF' });
    await t.rejects(file.stat(), { code: 'EBADF' });
    t.throws(() => file.readNow(buffer, 0), { code: 'EBADF' });
    t.throws(() => file.statNow(), { code: 'EBADF' });
    await file.closeNow();
    await file.close();
  }
});
