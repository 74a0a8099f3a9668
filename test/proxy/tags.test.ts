import t from 'tap';
import { makeImage } from '../support/hostile-registry.ts';
import { REGISTRY, Rig } from './rig.ts';

const KEY = { registry: REGISTRY, repository: 'org/app' };
const TAG = `/v2/org/app/manifests/latest?ns=${REGISTRY}`;

t.test('a tag that moves is followed', async (t) => {
  const rig = await Rig.start(t);
  for (const seed of [1, 2]) {
    const image = makeImage({ seed, layers: [10] });
    rig.origin.addImage('org/app', 'latest', image);
    t.ok((await rig.ask(TAG)).body.equals(image.index.bytes));
    t.match(await rig.refs.tagOf(KEY, 'latest', 'any'), { digest: image.index.digest, anonymous: true });
  }
});

t.test('a tag that is gone is forgotten, in both variants', async (t) => {
  const rig = await Rig.start(t);
  const image = makeImage({ seed: 1, layers: [10] });
  rig.origin.addImage('org/app', 'latest', image);
  await rig.ask(TAG);
  await rig.ask(TAG, { headers: { accept: image.manifests[0]!.mediaType } });
  t.ok(await rig.refs.tagOf(KEY, 'latest', 'single'));
  rig.origin.remove('org/app', image.index.digest);
  t.equal((await rig.ask(TAG)).status, 404);
  for (const variant of ['any', 'single'] as const) t.notOk(await rig.refs.tagOf(KEY, 'latest', variant), variant);
  await rig.origin.close();
  t.equal((await rig.ask(TAG)).status, 404, 'it does not come back when the origin is down');
});

t.test('with the origin down, what one variant stands for is not given to the other', async (t) => {
  const rig = await Rig.start(t);
  const image = makeImage({ seed: 1, layers: [10] });
  rig.origin.addImage('org/app', 'latest', image);
  await rig.ask(TAG);
  await rig.origin.close();
  t.equal((await rig.ask(TAG)).status, 200);
  t.equal((await rig.ask(TAG, { headers: { accept: image.manifests[0]!.mediaType } })).status, 404);
});

t.test('a web page in place of a manifest is no word of the origin’s', async (t) => {
  const rig = await Rig.start(t);
  const image = makeImage({ seed: 1, layers: [10] });
  rig.origin.addImage('org/app', 'latest', image);
  await rig.ask(TAG);
  Object.assign(rig.origin.faults, { on: ['manifest'], html: true });
  const answer = await rig.ask(TAG);
  t.equal(answer.status, 200);
  t.match(answer.headers.warning, /^299 /);
  t.ok(answer.body.equals(image.index.bytes));
});
