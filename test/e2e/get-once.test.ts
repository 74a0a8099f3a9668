/** `hawker get` on four nodes at once, against nginx: one copy from the server (I3). It wants a machine that has nothing else to do. */
import { join } from 'node:path';
import t from 'tap';
import { get, gotOf, isRight, NO_REGISTRY, startPacedFile } from './support/get.ts';
import type { Hawker } from './support/hawker.ts';
import { e2e } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';

const MiB = 1024 * 1024;
/** Of the file server's link: less than four nodes can take in. */
const RATE = 128 * MiB;
/** What reads that are cut may have had on their way already. */
const MOST_COPIES = 1.02;

e2e(t, 'a file of 1 GiB, on four nodes at once: its server sends it once', ['nginx'], async (t, rig) => {
  const size = 1024 * MiB;
  const { relay, digest } = await startPacedFile(rig, { name: 'big', size, rate: RATE });
  const swarm = await Swarm.start(rig, NO_REGISTRY);
  const proxies: Hawker[] = [];
  for (const name of ['a', 'b', 'c', 'd']) {
    proxies.push(await swarm.join(name, { files: { allow: [`${relay.url}/**`] } }));
  }
  const url = `${relay.url}/big?X-Amz-Signature=topsecretsignature`;
  const startedAt = performance.now();
  const all = await Promise.all(
    proxies.map(async (proxy, i) => {
      const dir = await rig.folder(`out-${i}`);
      const finished = await get(rig, proxy, url, join(dir, 'big'));
      t.equal(finished.code, 0, finished.stderr);
      await isRight(t, `node ${i}`, join(dir, 'big'), digest);
      return gotOf(finished);
    }),
  );
  const bytes = relay.bytesOf('/big');
  t.comment(`${((performance.now() - startedAt) / 1000).toFixed(1)} s, ${(bytes / size).toFixed(3)} copies`);
  t.ok(bytes / size <= MOST_COPIES, `its server has sent ${(bytes / size).toFixed(3)} copies`);
  t.ok(all.every(({ shared }) => shared));
  t.ok(
    all.filter(({ sources }) => sources.peers > size / 2).length >= 3,
    JSON.stringify(all.map((one) => one.sources)),
  );
  const logs = [...proxies.map((proxy) => proxy.log()), swarm.supernode.log()].join('');
  t.notMatch(logs, /topsecretsignature/, 'what is signed into the URL is in no log');
});
