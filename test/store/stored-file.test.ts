import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { StoredFile } from '../../src/store/stored-file.ts';
import { FaultyFiles, systemError } from './faulty-files.ts';
import { temporaryDirectory } from './temporary.ts';

const BYTES = Buffer.from('what a blob holds');

interface Opened {
  readonly file: StoredFile;
  readonly files: FaultyFiles;
  readonly failures: unknown[];
  readonly closed: () => number;
}

async function open(t: Test, { isInMemory = true, size = BYTES.length } = {}): Promise<Opened> {
  const path = join(await temporaryDirectory(t), 'blob');
  await writeFile(path, BYTES);
  const files = new FaultyFiles();
  const failures: unknown[] = [];
  let closed = 0;
  const file = new StoredFile(files.openNow(path), {
    digest: digestOf(BYTES),
    size,
    isInMemory,
    isRemoved: () => false,
    onFailure: (error) => failures.push(error),
    onClose: () => (closed += 1),
  });
  return { file, files, failures, closed: () => closed };
}

t.test('reads at once where the bytes are taken to be in memory, never beyond the end', async (t) => {
  const { file } = await open(t);
  const buffer = Buffer.alloc(100);
  t.equal(file.readNow(buffer, 5), BYTES.length - 5);
  t.ok(buffer.subarray(0, BYTES.length - 5).equals(BYTES.subarray(5)));
  t.equal(file.readNow(buffer, BYTES.length), 0);
  await file.close();
  t.equal(file.readNow(buffer, 0), 0, 'closed');
});

t.test('else once a read has gone through the thread pool', async (t) => {
  const { file } = await open(t, { isInMemory: false });
  const buffer = Buffer.alloc(4);
  t.equal(file.readNow(buffer, 0), 0);
  t.equal(await file.read(buffer, 0), 4);
  t.equal(file.readNow(buffer, 4), 4);
  t.ok(buffer.equals(BYTES.subarray(4, 8)));
  await file.close();
});

t.test('a read at once that fails is 0, and `read` says why', async (t) => {
  const { file, files, failures } = await open(t);
  const buffer = Buffer.alloc(4);
  files.fault = ({ op }) => (op === 'file.read' ? systemError('EIO') : undefined);
  t.equal(file.readNow(buffer, 0), 0);
  t.same(failures, []);
  await t.rejects(file.read(buffer, 0), { code: 'STORE_READ_FAILED', message: /EIO/ });
  t.equal(failures.length, 1);
  await file.close();
});

t.test('a file that is shorter than its blob gives 0 at once, and then an error', async (t) => {
  const { file, failures } = await open(t, { size: BYTES.length + 1 });
  const buffer = Buffer.alloc(4);
  t.equal(file.readNow(buffer, BYTES.length), 0);
  await t.rejects(file.read(buffer, BYTES.length), { code: 'STORE_READ_FAILED' });
  t.equal(failures.length, 1);
  await file.close();
});

t.test('a close counts once', async (t) => {
  const { file, closed } = await open(t);
  await Promise.all([file.close(), file.close()]);
  t.equal(closed(), 1);
});
