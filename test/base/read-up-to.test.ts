import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readUpTo } from '../../src/base/read-up-to.ts';

t.test('the whole of a file, but no more than is allowed', async (t) => {
  const path = join(t.testdir({}), 'file');
  writeFileSync(path, '');
  t.equal((await readUpTo(path, 4))?.length, 0);
  writeFileSync(path, '1234');
  t.equal((await readUpTo(path, 4))?.toString(), '1234');
  writeFileSync(path, '12345');
  t.equal(await readUpTo(path, 4), undefined);
  t.equal(await readUpTo('/dev/zero', 4), undefined, 'what never ends');
  await t.rejects(readUpTo(`${path}.none`, 4), { code: 'ENOENT' });
});
