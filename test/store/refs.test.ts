import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { encodeRefs, parseRefs } from '../../src/store/refs-file.ts';
import {
  MAX_LINKS_PER_REPOSITORY,
  MAX_TAGS_PER_REPOSITORY,
  Refs,
  type Link,
  type RefsOptions,
  type RepoKey,
  type TagTarget,
} from '../../src/store/refs.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { FaultyFiles, gate, systemError, until } from './faulty-files.ts';
import { recordingLogger, temporaryDirectory } from './temporary.ts';

const KEY: RepoKey = { registry: 'docker.io', repository: 'library/alpine' };
const OTHER: RepoKey = { registry: 'ghcr.io', repository: 'org/app' };

function linkOf(seed: string, at = 1000): Link {
  return {
    digest: digestOf(seed),
    mediaType: 'application/octet-stream',
    size: 42,
    at,
    anonymous: true,
    confirmed: true,
  };
}

function target(seed: string): TagTarget {
  return { digest: digestOf(seed), mediaType: 'application/vnd.oci.image.index.v1+json', at: 5, anonymous: false };
}

async function openRefs(t: Test, dir: string, options: Partial<RefsOptions> = {}) {
  const { log, codes } = recordingLogger();
  const clock = new ManualClock();
  const refs = await Refs.open({ dir, log, clock, ...options });
  t.teardown(() => refs.close());
  return { refs, codes, clock };
}

const filesOf = (dir: string): Promise<string[]> => readdir(join(dir, 'v1', 'refs'));

t.test('links and tags are known, repository by repository, and after a restart', async (t) => {
  const dir = await temporaryDirectory(t);
  const { refs } = await openRefs(t, dir);
  const link = linkOf('a');
  const bare: Link = { digest: digestOf('bare'), at: 7, anonymous: false, confirmed: false };
  await refs.link(KEY, [link, bare]);
  await refs.link(KEY, []);
  await refs.setTag(KEY, 'latest', 'any', target('index'));
  await refs.setTag(KEY, 'latest', 'single', target('single'));
  await refs.setTag(KEY, '__proto__', 'any', target('index'));
  const check = async (refs: Refs): Promise<void> => {
    t.strictSame(await refs.linkOf(KEY, link.digest), link);
    t.strictSame(await refs.linkOf(KEY, bare.digest), bare);
    t.equal(await refs.linkOf(OTHER, link.digest), undefined, 'a link of one repository is none of another');
    t.strictSame(await refs.tagOf(KEY, 'latest', 'any'), target('index'));
    t.strictSame(await refs.tagOf(KEY, 'latest', 'single'), target('single'));
    t.strictSame(await refs.tagOf(KEY, '__proto__', 'any'), target('index'));
    t.equal(await refs.tagOf(KEY, '__proto__', 'single'), undefined);
    t.equal(await refs.tagOf(OTHER, 'latest', 'any'), undefined);
  };
  await check(refs);
  await refs.close();
  const files = await filesOf(dir);
  t.equal(files.length, 1);
  t.equal((await stat(join(dir, 'v1', 'refs', files[0]!))).mode & 0o777, 0o600);
  const next = await openRefs(t, dir);
  await check(next.refs);

  await next.refs.unlink(KEY, link.digest);
  await next.refs.unlink(KEY, digestOf('never there'));
  await next.refs.dropTag(KEY, 'latest');
  await next.refs.link(KEY, [{ ...bare, at: 99 }]);
  await next.refs.close();
  const last = await openRefs(t, dir);
  t.equal(await last.refs.linkOf(KEY, link.digest), undefined);
  t.equal((await last.refs.linkOf(KEY, bare.digest))?.at, 99);
  t.equal(await last.refs.tagOf(KEY, 'latest', 'any'), undefined);
  t.equal(await last.refs.tagOf(KEY, 'latest', 'single'), undefined);
  t.same(last.codes(), []);
});

t.test(
  'what is said after it was closed is not written: the folder may be gone, or another process have it',
  async (t) => {
    const dir = await temporaryDirectory(t);
    const { refs, clock } = await openRefs(t, dir);
    await refs.close();
    await refs.link(KEY, [linkOf('late')]);
    t.equal(clock.waiting, 0);
    await refs.flush();
    t.strictSame(await filesOf(dir), []);
  },
);

t.test('a forgotten repository is gone, from the disk too', async (t) => {
  const dir = await temporaryDirectory(t);
  const { refs } = await openRefs(t, dir);
  await refs.link(KEY, [linkOf('a')]);
  await refs.link(OTHER, [linkOf('b')]);
  await refs.setTag(KEY, 'v1', 'any', target('x'));
  await refs.flush();
  t.equal((await filesOf(dir)).length, 2);
  await refs.forget(KEY);
  t.equal((await filesOf(dir)).length, 1);
  t.equal(await refs.linkOf(KEY, digestOf('a')), undefined);
  t.equal(await refs.tagOf(KEY, 'v1', 'any'), undefined);
  t.ok(await refs.linkOf(OTHER, digestOf('b')));
});

t.test('changes are gathered for a second, then written once', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { refs, clock } = await openRefs(t, dir, { files });
  for (let i = 0; i < 50; i += 1) await refs.link(KEY, [linkOf(`${i}`)]);
  await refs.link(OTHER, [linkOf('x')]);
  t.same(await filesOf(dir), []);
  await clock.advance(1000);
  await refs.flush();
  const renames = (): number => files.calls.filter(({ op }) => op === 'rename').length;
  t.equal(renames(), 2);
  t.equal((await filesOf(dir)).length, 2);
  await clock.advance(10_000);
  await refs.flush();
  t.equal(renames(), 2, 'nothing new, nothing written');
  await refs.link(KEY, [linkOf('new')]);
  await clock.advance(1000);
  await refs.flush();
  t.equal(renames(), 3);
});

t.test('each bound drops the oldest', async (t) => {
  const dir = await temporaryDirectory(t);
  const { refs } = await openRefs(t, dir, { maxRepositories: 3 });
  await refs.link(
    KEY,
    Array.from({ length: MAX_LINKS_PER_REPOSITORY }, (_, i) => linkOf(`${i}`)),
  );
  await refs.link(KEY, [linkOf('0'), linkOf('one more')]);
  t.ok(await refs.linkOf(KEY, digestOf('0')), 'linked again, it is young');
  t.equal(await refs.linkOf(KEY, digestOf('1')), undefined);
  t.ok(await refs.linkOf(KEY, digestOf('2')));
  for (let i = 0; i <= MAX_TAGS_PER_REPOSITORY; i += 1) await refs.setTag(KEY, `v${i}`, 'any', target('x'));
  t.equal(await refs.tagOf(KEY, 'v0', 'any'), undefined);
  t.ok(await refs.tagOf(KEY, 'v1', 'any'));

  const long = 'a/'.repeat(200);
  await refs.link(KEY, [{ ...linkOf('long'), mediaType: long }]);
  t.strictSame(await refs.linkOf(KEY, digestOf('long')), {
    digest: digestOf('long'),
    size: 42,
    at: 1000,
    anonymous: true,
    confirmed: true,
  });
  await refs.setTag(KEY, 'long', 'any', { ...target('x'), mediaType: long });
  t.equal(await refs.tagOf(KEY, 'long', 'any'), undefined);

  for (let i = 0; i < 4; i += 1) {
    await refs.link({ ...OTHER, repository: `r${i}` }, [linkOf('x')]);
    await refs.flush();
  }
  t.equal((await filesOf(dir)).length, 3);
  t.equal(await refs.linkOf(KEY, digestOf('0')), undefined);
  t.equal(await refs.linkOf({ ...OTHER, repository: 'r0' }, digestOf('x')), undefined);
  t.ok(await refs.linkOf({ ...OTHER, repository: 'r1' }, digestOf('x')));
});

t.test(
  'many more repositories than are kept in memory: all are known, also while they are being written',
  async (t) => {
    const dir = await temporaryDirectory(t);
    const { refs, codes } = await openRefs(t, dir);
    const keys = Array.from({ length: 300 }, (_, i): RepoKey => ({ registry: 'docker.io', repository: `r${i}` }));
    await Promise.all(keys.map((key) => refs.link(key, [linkOf('first')])));
    const flushing = refs.flush();
    await Promise.all(keys.map((key) => refs.link(key, [linkOf('second')])));
    await flushing;
    for (const key of keys) {
      if (!(await refs.linkOf(key, digestOf('first')))) t.fail(`${key.repository} has lost its first link`);
      if (!(await refs.linkOf(key, digestOf('second')))) t.fail(`${key.repository} has lost its second link`);
    }
    await refs.close();
    const next = await openRefs(t, dir);
    for (const key of keys) if (!(await next.refs.linkOf(key, digestOf('second')))) t.fail(`${key.repository} is lost`);
    t.same([...codes(), ...next.codes()], []);
  },
);

t.test('what is just being written, and no longer in memory, is waited for', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { refs, codes } = await openRefs(t, dir, { files });
  const { promise, open } = gate();
  files.hold = ({ op }) => (op === 'rename' ? promise : undefined);
  await refs.link(KEY, [linkOf('a')]);
  const flushing = refs.flush();
  await until(() => files.calls.some(({ op }) => op === 'rename'));
  for (let i = 0; i < 300; i += 1) await refs.linkOf({ ...OTHER, repository: `r${i}` }, digestOf('x'));
  const found = refs.linkOf(KEY, digestOf('a'));
  await refs.linkOf(OTHER, digestOf('x'));
  open();
  await flushing;
  t.ok(await found);
  t.same(codes(), []);
});

t.test('a damaged file is dropped with a warning, and its repository starts anew', async (t) => {
  const dir = await temporaryDirectory(t);
  const damage = async (content: string | Buffer): Promise<void> => {
    const { refs } = await openRefs(t, dir);
    await refs.link(KEY, [linkOf('a')]);
    await refs.close();
    const [file] = await filesOf(dir);
    await writeFile(join(dir, 'v1', 'refs', file!), content);
    const next = await openRefs(t, dir);
    t.equal(await next.refs.linkOf(KEY, digestOf('a')), undefined);
    t.same(next.codes(), ['REFS_DAMAGED']);
    t.same(await filesOf(dir), []);
    await next.refs.link(KEY, [linkOf('b')]);
    t.ok(await next.refs.linkOf(KEY, digestOf('b')));
    await next.refs.forget(KEY);
  };
  await damage('');
  await damage('{"format":1');
  await damage(Buffer.alloc(9 * 1024 * 1024, ' '));
  await damage(encodeRefs({ key: OTHER, links: new Map(), tags: new Map() }));
});

t.test('what lies beside the files is left alone, but for what a killed process left half written', async (t) => {
  const dir = await temporaryDirectory(t);
  await (await openRefs(t, dir)).refs.close();
  const refsDir = join(dir, 'v1', 'refs');
  await writeFile(join(refsDir, 'README'), 'mine');
  await writeFile(join(refsDir, `${'a'.repeat(64)}.json.new`), '{');
  await openRefs(t, dir);
  t.same(await filesOf(dir), ['README']);
});

t.test('a disk that fails costs what is on the disk, not what is in memory', async (t) => {
  const dir = await temporaryDirectory(t);
  const files = new FaultyFiles();
  const { refs, codes } = await openRefs(t, dir, { files });
  files.fault = ({ op }) => (['rename', 'unlink'].includes(op) ? systemError('EIO') : undefined);
  await refs.link(KEY, [linkOf('a')]);
  await refs.flush();
  t.same(codes(), ['REFS_WRITE_FAILED']);
  t.ok(await refs.linkOf(KEY, digestOf('a')));
  await refs.forget(KEY);
  t.same(codes(), ['REFS_WRITE_FAILED', 'REFS_REMOVE_FAILED']);
  files.fault = () => undefined;
  await refs.link(KEY, [linkOf('b')]);
  await refs.flush();
  const next = await openRefs(t, dir);
  t.ok(await next.refs.linkOf(KEY, digestOf('b')));
});

t.test('killed at any call of a write: what was known before, or what is known now', async (t) => {
  const base = await temporaryDirectory(t);
  for (let step = 0, finished = false; !finished; step += 1) {
    const dir = join(base, `${step}`);
    const before = await openRefs(t, dir);
    await before.refs.link(KEY, [linkOf('old')]);
    await before.refs.close();
    const files = new FaultyFiles();
    const { refs } = await openRefs(t, dir, { files });
    files.dieAt = files.calls.length + step;
    await refs.link(KEY, [linkOf('new')]);
    await refs.close();
    finished = !files.isDead;
    // A process that died while it read has dropped nothing.
    const after = await openRefs(t, dir);
    if (!(await after.refs.linkOf(KEY, digestOf('old'))) && !(await after.refs.linkOf(KEY, digestOf('new')))) {
      t.fail(`step ${step}: all is lost`);
    }
    t.same(after.codes(), []);
  }
});

t.test('no credential gets into a file, whatever an object carries', async (t) => {
  const dir = await temporaryDirectory(t);
  const { refs } = await openRefs(t, dir);
  const secret = { password: 'hunter2', authorization: 'Bearer hunter2' };
  await refs.link({ ...KEY, ...secret }, [{ ...linkOf('a'), ...secret }]);
  await refs.setTag(KEY, 'latest', 'any', { ...target('a'), ...secret });
  await refs.close();
  const [file] = await filesOf(dir);
  const text = await readFile(join(dir, 'v1', 'refs', file!), 'utf8');
  t.match(text, digestOf('a'));
  t.notMatch(text, /hunter2|password|authorization/);
});

const plain = { noNullPrototype: true };
const reading = {
  digest: fc.string().map((seed) => digestOf(seed)),
  at: fc.maxSafeNat(),
  anonymous: fc.boolean(),
};
const arbitraryLink = fc.record(
  { ...reading, mediaType: fc.string(), size: fc.maxSafeNat(), confirmed: fc.boolean() },
  { requiredKeys: ['digest', 'at', 'anonymous', 'confirmed'], ...plain },
);
const arbitraryTarget = fc.record({ ...reading, mediaType: fc.string() }, plain);
const arbitraryTag = fc.record({ any: arbitraryTarget, single: arbitraryTarget }, { requiredKeys: [], ...plain });
const arbitraryKey = fc.record({ registry: fc.string(), repository: fc.string() }, plain);

t.test('what is encoded is parsed again', async () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryLink),
      fc.array(fc.tuple(fc.string(), arbitraryTag)),
      arbitraryKey,
      (links, tags, key) => {
        const repo = { key, links: new Map(links.map((link) => [link.digest, link])), tags: new Map(tags) };
        assert.deepStrictEqual(parseRefs(encodeRefs(repo), key), repo);
        assert.equal(parseRefs(encodeRefs(repo), { ...key, repository: `${key.repository}x` }), undefined);
      },
    ),
  );
});

t.test('anything else is not, and is no error', async (t) => {
  const sound = {
    format: 1,
    ...KEY,
    links: [{ digest: digestOf('a'), at: 1, anonymous: true, confirmed: true, size: 1, mediaType: 'a/b' }],
    tags: [{ name: 'latest', any: target('a') }],
  };
  t.ok(parseRefs(Buffer.from(JSON.stringify(sound)), KEY));
  const link = sound.links[0]!;
  const tag = sound.tags[0]!;
  for (const wrong of [
    null,
    1,
    [],
    { ...sound, format: 2 },
    { ...sound, links: {} },
    { ...sound, tags: null },
    { ...sound, links: [null] },
    { ...sound, links: [{ ...link, digest: 'sha256:../../etc/passwd' }] },
    { ...sound, links: [{ ...link, digest: 5 }] },
    { ...sound, links: [{ ...link, at: '1' }] },
    { ...sound, links: [{ ...link, at: -1 }] },
    { ...sound, links: [{ ...link, size: 'big' }] },
    { ...sound, links: [{ ...link, mediaType: {} }] },
    { ...sound, links: [{ ...link, anonymous: 1 }] },
    { ...sound, links: [{ ...link, confirmed: undefined }] },
    { ...sound, tags: [7] },
    { ...sound, tags: [{ ...tag, name: 1 }] },
    { ...sound, tags: [{ ...tag, any: 'x' }] },
    { ...sound, tags: [{ ...tag, single: { ...tag.any, mediaType: undefined } }] },
  ]) {
    t.equal(parseRefs(Buffer.from(JSON.stringify(wrong)), KEY), undefined, JSON.stringify(wrong));
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.equal(parseRefs(Buffer.from(text), KEY), undefined);
    }),
  );
});
