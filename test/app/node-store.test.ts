import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { runCommand } from '../support/cli.ts';
import { eventually, json, nodeConfig, REGISTRY, urlOf } from '../support/cluster.ts';
import { startUp } from '../../src/app/up.ts';
import { silentLogger } from '../../src/base/log.ts';

interface Store {
  bytes: number;
  pinned: number;
  blobs: {
    digest: string;
    size: number;
    isPinned: boolean;
    isInUse: boolean;
    images: string[];
    repositories: string[];
  }[];
  pins: { image: string }[];
}

t.test('an operator sees what a node keeps, removes, tidies and pins', async (t) => {
  const one = makeDemoImage([300_000, 2000]);
  const other = makeDemoImage([200_000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', one);
  origin.add('v2', other);
  t.teardown(() => origin.stop());
  const config = nodeConfig({ dir: t.testdir({}), origin: origin.url });
  const node = await startUp(config, { log: silentLogger });
  t.teardown(() => node.stop());
  const api = urlOf(node, 'api');
  const [v1, v2] = [`${REGISTRY}/demo/app:v1`, `${REGISTRY}/demo/app:v2`];
  for (const tag of ['v1', 'v2']) await pullImage(urlOf(node, 'mirror'), 'demo/app', tag);
  const store = () => json<Store>(`${api}/api/v1/store`);
  const run = (...argv: string[]) => runCommand(argv, { environment: { HAWKER_API_LISTEN: new URL(api).host } });

  const all = one.blobs.length + other.blobs.length + 2;
  await eventually('all is kept, and none is being read', async () => {
    const { blobs } = await store();
    return blobs.length === all && blobs.every(({ isInUse }) => !isInUse);
  });
  const looked = await run('blobs', '--node');
  t.same([looked.status, looked.err], [0, '']);
  t.match(
    looked.out,
    new RegExp(
      `^${all} blobs in the store of http://.*: .* of 1 GiB\\.\\n\\nDIGEST +SIZE +LAST USE +IMAGES +REPOSITORIES\\n`,
    ),
  );
  t.match(looked.out, new RegExp(`${v1} +${REGISTRY}/demo/app\n`));

  const pinned = await run('pin', v1);
  t.match(pinned.out, new RegExp(`^Pinned ${v1} \\(sha256:[0-9a-f]{64}\\): ${one.blobs.length + 1} blobs, `));
  t.match((await store()).pins, [{ image: v1 }]);
  t.match((await run('blobs', '--node')).out, /pinned[^]*Pinned:\nIMAGE +DIGEST +BLOBS +SIZE +SINCE\n/);
  t.match(await run('rm', one.blobs[0]!.digest), { status: 1, err: /BLOB_PINNED: .* is pinned by demo\.test/ });

  const would = await run('gc', '--keep', '1B', '--dry-run');
  t.match(would.out, /^Would remove \d+ blobs/);
  t.equal((await store()).blobs.length, all, 'a dry run removes nothing');
  const gone = await run('gc', '--keep', '1B');
  t.match(gone.out, /^Removed \d+ blobs .*\n\nDIGEST +SIZE +WHY\n[^]*least recently used/);
  const left = await store();
  t.ok(
    left.blobs.every(({ isPinned }) => isPinned),
    'what is pinned stays',
  );
  t.equal(left.blobs.length, one.blobs.length + 1);

  t.equal((await run('unpin', v1)).out, `Unpinned ${v1}.\n`);
  t.match(await run('unpin', v1), { status: 1, err: /NOT_PINNED/ });
  t.match((await run('rm', v1, '--dry-run', '--json')).out, /"removed":\[\{"digest"/);
  t.match((await run('rm', v1)).out, new RegExp(`^Removed ${one.blobs.length + 1} blobs`));
  t.same((await store()).blobs, []);
  t.match(await run('rm', v1), { status: 1, err: /IMAGE_NOT_HERE/ });
  t.match(await run('pin', v2), { status: 1, err: /IMAGE_NOT_HERE/ });
  t.match(await run('rm', one.blobs[0]!.digest), { status: 1, err: /BLOB_NOT_HERE/ });
  t.match(await run('rm', 'No Image'), { status: 1, err: /STORE_ASK_INVALID/ });
  t.match(await run('gc', '--keep', 'much'), { status: 1, err: /STORE_ASK_INVALID: .*keep is not/ });

  t.equal(
    (await pullImage(urlOf(node, 'mirror'), 'demo/app', 'v1')).bytes,
    one.size,
    'it is fetched again when it is wanted',
  );
  const evil = await fetch(`${api}/api/v1/store/gc`, { method: 'POST', headers: { origin: 'http://evil.test' } });
  t.equal(evil.status, 403);
});
