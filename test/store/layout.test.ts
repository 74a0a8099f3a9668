import { chmod, chown, lstat, mkdir, rename, rmdir, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { digestKind, digestOf, fileIdOf } from '../../src/base/digest.ts';
import { nodeFiles } from '../../src/store/files.ts';
import { digestOfBlobName, Layout, parseIncomingName, prepareLayout } from '../../src/store/layout.ts';
import { scanBlobs } from '../../src/store/scan.ts';
import { temporaryDirectory } from './temporary.ts';

const layout = new Layout('/var/lib/hawker');
const digest = fc
  .tuple(fc.string(), fc.constantFrom('sha256' as const, 'sha512' as const, 'file' as const))
  .map(([seed, kind]) => (kind === 'file' ? fileIdOf(seed) : digestOf(seed, kind)));

t.test('every name that is given to a blob is known again', async (t) => {
  fc.assert(
    fc.property(digest, (digest) => {
      const path = layout.blob(digest);
      t.equal(digestOfBlobName(digestKind(digest), basename(dirname(path)), basename(path)), digest);
      const data = basename(layout.incomingData(digest));
      const journal = basename(layout.incomingJournal(digest));
      t.same(parseIncomingName(data), { digest, part: 'data' });
      t.same(parseIncomingName(journal), { digest, part: 'journal' });
      for (const path of [layout.blob(digest), layout.incomingData(digest), layout.incomingJournal(digest)]) {
        t.equal(resolve(path), path);
        t.ok(path.startsWith('/var/lib/hawker/v1/'));
      }
    }),
  );
});

t.test('no other name is', async (t) => {
  const hex = 'ab'.repeat(32);
  for (const name of [
    hex,
    `sha256:${hex}`,
    `sha256-${hex}.new`,
    `sha256-${hex.slice(1)}`,
    `md5-${hex}`,
    '.journal',
    '',
    'sha256-',
  ]) {
    t.equal(parseIncomingName(name), undefined, name);
  }
  t.equal(digestOfBlobName('sha256', 'ab', hex), `sha256:${hex}`);
  for (const [prefix, name] of [
    ['cd', hex],
    ['a', hex],
    ['aba', hex],
    ['ab', hex.slice(1)],
    ['ab', hex.toUpperCase()],
  ] as const) {
    t.equal(digestOfBlobName('sha256', prefix, name), undefined, `${prefix}/${name}`);
  }
  fc.assert(fc.property(fc.string(), (name) => void t.equal(parseIncomingName(name), undefined)));
});

/** Every directory of a layout, one in which blobs lie too. */
async function directoriesOf(dir: string): Promise<string[]> {
  const layout = await prepareLayout(nodeFiles, dir);
  const { version, blobs, incoming, refs, crcsDir } = layout;
  const prefix = join(layout.kindDir('sha256'), 'ab');
  await mkdir(prefix, { mode: 0o700 });
  return [
    dir,
    version,
    blobs,
    layout.kindDir('sha256'),
    layout.kindDir('sha512'),
    layout.kindDir('file'),
    prefix,
    incoming,
    refs,
    crcsDir,
  ];
}

async function open(dir: string): Promise<unknown> {
  return scanBlobs(nodeFiles, await prepareLayout(nodeFiles, dir));
}

t.test('all of its directories are made for the owner alone, whatever the umask', async (t) => {
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const dir = join(await temporaryDirectory(t), 'store');
  for (const path of await directoriesOf(dir)) t.equal((await lstat(path)).mode & 0o777, 0o700, path);
});

t.test('a directory that is a symlink, writable by others or another user’s: said which, and what to do', async (t) => {
  const dir = join(await temporaryDirectory(t), 'store');
  for (const path of await directoriesOf(dir)) {
    for (const mode of [0o770, 0o707, 0o1777]) {
      await chmod(path, mode);
      const todo = `chmod 0700 ${path}`;
      await t.rejects(open(dir), { code: 'STORE_DIR_UNUSABLE', message: `may write to ${path}`, todo }, path);
    }
    await chmod(path, 0o700);
    await rename(path, `${path}-real`);
    await symlink(`${path}-real`, path);
    const message = `${path} is not a directory (symlinks are not followed)`;
    await t.rejects(open(dir), { code: 'STORE_DIR_UNUSABLE', message }, path);
    await nodeFiles.unlink(path);
    await rename(`${path}-real`, path);
  }
  await open(dir);
});

t.test(
  'a directory of another user',
  { skip: process.getuid?.() !== 0 && 'only root may give one away' },
  async (t) => {
    const dir = join(await temporaryDirectory(t), 'store');
    for (const path of await directoriesOf(dir)) {
      await chown(path, 12_345, 12_345);
      const seen = { message: `${path} belongs to user 12345, not to 0`, todo: `chown -R 0 ${dir}` };
      await t.rejects(open(dir), { code: 'STORE_DIR_UNUSABLE', ...seen }, path);
      await chown(path, 0, 0);
    }
    await rmdir(join(new Layout(dir).kindDir('sha256'), 'ab'));
    await open(dir);
  },
);
