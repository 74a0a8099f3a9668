/**
 * `hawker get` as a person runs it, against nginx: whatever is killed meanwhile, no wrong byte under the file's name, nothing left
 * behind.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { hashFile } from './support/clients/client.ts';
import { get, getArgs, gotOf, isRight, makeFile, NO_REGISTRY, sizeIn, startPacedFile } from './support/get.ts';
import { Hawker } from './support/hawker.ts';
import { FileHost } from './support/nginx.ts';
import { must } from './support/programs.ts';
import { e2e } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
const STEP_BOUND_MS = 60_000;
/** Of the file server's link: less than a node can take in. */
const RATE = 32 * MiB;

e2e(t, 'killed in the middle: the command, and the proxy', ['nginx'], async (t, rig) => {
  const size = 256 * MiB;
  const { relay, digest } = await startPacedFile(rig, { name: 'x', size, rate: RATE });
  const config = { files: { allow: [`${relay.url}/**`] } };
  const proxy = await Hawker.start(rig, 'node', NO_REGISTRY, {
    command: 'up',
    config: { ...config, supernode: { listen: '127.0.0.1:0' } },
  });
  const dir = await rig.folder('out');
  const file = join(dir, 'x');
  const url = `${relay.url}/x`;
  const child = spawn(process.execPath, getArgs(proxy, url, file), { env: rig.environment(), stdio: 'ignore' });
  await until('a quarter has come', STEP_BOUND_MS, async () => (await sizeIn(dir)) > size / 4);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.notOk((await readdir(dir)).includes('x'), 'nothing is under its name');
  const going = get(rig, proxy, url, file);
  await until('half has come', STEP_BOUND_MS, async () => (await sizeIn(dir)) > size / 2);
  await proxy.kill9();
  await proxy.start();
  const finished = await going;
  t.equal(finished.code, 0, finished.stderr);
  await isRight(t, 'the file', file, digest);
  const got = gotOf(finished);
  t.ok(got.kept > size / 5, `it went on at byte ${got.kept}`);
  const bytes = relay.bytesOf('/x');
  t.comment(`${(bytes / size).toFixed(3)} copies`);
  t.ok(bytes <= size + 24 * MiB, `what was there was not fetched again: ${bytes} of ${size} bytes`);
});

e2e(t, 'servers as they are, and what goes wrong', ['nginx', 'mount'], async (t, rig) => {
  const size = 40 * MiB;
  const host = await FileHost.start(rig, 'files');
  const digest = await makeFile(join(host.root, 'x'), size);
  await writeFile(join(host.root, 'page.html'), '<html>a page is a file too</html>');
  const plain = await FileHost.start(rig, 'plain', 'etag off; max_ranges 0;');
  const weak = await FileHost.start(rig, 'weak', `etag off; max_ranges 0; add_header ETag 'W/"weak"';`);
  for (const { root } of [plain, weak]) await must('cp', [join(host.root, 'x'), root]);
  const swarm = await Swarm.start(rig, NO_REGISTRY);
  const files = { allow: [host, plain, weak].map(({ url }) => `${url}/**`) };
  const [a, b] = [await swarm.join('a', { files }), await swarm.join('b', { files })] as const;
  const dir = await rig.folder('out');
  const file = join(dir, 'x');
  const nothingLeft = async () => t.same(await readdir(dir), [], 'nothing is left');

  for (const [name, odd] of [
    ['no ETag, no ranges', plain],
    ['a weak ETag', weak],
  ] as const) {
    for (const proxy of [a, b]) {
      const finished = await get(rig, proxy, `${odd.url}/x`, file);
      t.match(gotOf(finished), { shared: false, bytes: size }, name);
      await isRight(t, name, file, digest);
    }
    t.equal(await odd.bytesOf('/x'), 2 * size, 'each by itself');
    await must('rm', [file]);
    const shared = await Promise.all(
      [a, b].map((proxy, i) => get(rig, proxy, `${odd.url}/x`, `${file}${i}`, '--sha256', digest)),
    );
    for (const [i, finished] of shared.entries()) {
      t.match(gotOf(finished), { shared: true, bytes: size }, `${name}: with a digest it is shared`);
      await isRight(t, name, `${file}${i}`, digest);
      await must('rm', [`${file}${i}`]);
    }
  }

  t.match(await get(rig, a, `${host.url}/page.html`, file), { code: 0 });
  await must('rm', [file]);
  const wrong = await get(rig, a, `${host.url}/x`, file, '--sha256', '0'.repeat(64));
  t.match(wrong, { code: 1, stdout: '', stderr: /FILE_DIGEST_MISMATCH/ });
  await nothingLeft();
  t.match(await get(rig, a, `${host.url}/none`, file), { code: 1, stderr: /ORIGIN_NOT_FOUND/ });
  await nothingLeft();
  await writeFile(join(host.root, 'secret'), 'x', { mode: 0o000 });
  t.match(await get(rig, a, `${host.url}/?`, file), { code: 1, stderr: /ORIGIN_DENIED/ });
  await nothingLeft();

  const full = await rig.folder('full');
  await must('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', full]);
  t.match(await get(rig, a, `${host.url}/x`, join(full, 'x')), { code: 1, stderr: /GET_NOT_WRITTEN: .*ENOSPC/ });
  t.same(await readdir(full), [], 'a full disk: nothing is left on it');
});

e2e(t, 'a file that changes while four nodes read it: no mix of two versions', ['nginx'], async (t, rig) => {
  const size = 96 * MiB;
  const { host, relay, digest: before } = await startPacedFile(rig, { name: 'x', size, rate: RATE });
  const next = await rig.folder('next');
  const after = await makeFile(join(next, 'x'), size);
  const swarm = await Swarm.start(rig, NO_REGISTRY);
  const proxies: Hawker[] = [];
  for (const name of ['a', 'b', 'c', 'd']) {
    proxies.push(await swarm.join(name, { files: { allow: [`${relay.url}/**`] } }));
  }
  const dirs = await Promise.all(proxies.map((_, i) => rig.folder(`out-${i}`)));
  const all = proxies.map((proxy, i) => get(rig, proxy, `${relay.url}/x`, join(dirs[i]!, 'x')));
  await until('a third has come', STEP_BOUND_MS, async () => (await sizeIn(dirs[0]!)) > size / 3);
  // Its ETag is time and size.
  await must('touch', ['-d', '2001-02-03', join(next, 'x')]);
  await rename(join(next, 'x'), join(host.root, 'x'));
  const seen: string[] = [];
  for (const [i, finished] of (await Promise.all(all)).entries()) {
    t.equal(finished.code, 0, finished.stderr);
    seen.push(await hashFile(join(dirs[i]!, 'x')));
  }
  t.same(
    seen.filter((one) => one !== before && one !== after),
    [],
    'all are one version',
  );
  t.comment(`${seen.filter((one) => one === after).length} of 4 have the new one`);
});
