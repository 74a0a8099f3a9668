import { join } from 'node:path';
import { MiB } from '../../../src/base/units.ts';
import type { Bench } from '../bench-rig.ts';
import type { Case } from '../case.ts';
import { coldContenders, NGINX_CACHE, PULL_THROUGH } from '../cold-servers.ts';
import { load } from '../load.ts';
import { interleaved, OURS, percentiles, type Sample } from '../measure.ts';
import { blobPath, MANIFEST_TYPE, manifestPath, RegistryData, type Blob } from '../registry-data.ts';
import { Registry } from '../registry.ts';

const RIVALS = [PULL_THROUGH, NGINX_CACHE];
const ORIGIN = 'the origin';
const BLOB_BYTES = 4 * MiB;
const SAMPLES = 60;
/** Layers that are pulled before anything is measured. */
const WARM_UPS = 40;
const TAG = 'layers';
const COLD = 'cold p50 ms';
const WARM = 'warm p50 ms';

export const firstByte: Case = {
  name: 'first-byte',
  title: `after an image's manifest, the first byte of each of ${SAMPLES} layers of 4 MiB, cold and then warm, on new connections`,
  marks: [
    { figure: COLD, as: 'ratio', rule: 'at most', bound: 1.5, against: RIVALS },
    { figure: COLD, as: 'excess', rule: 'at most', bound: 20, against: [ORIGIN] },
    { figure: WARM, as: 'ratio', rule: 'at most', bound: 1.5, against: RIVALS },
    { figure: WARM, as: 'excess', rule: 'at most', bound: 20, against: [ORIGIN] },
  ],
  async run(bench: Bench) {
    const { rig, runs, say } = bench;
    const data = new RegistryData(join(rig.dir, 'registry'));
    const blobs: Blob[] = [];
    while (blobs.length < SAMPLES + WARM_UPS) blobs.push(await data.addBlob(BLOB_BYTES));
    await data.addImage(TAG, blobs);
    const warmUp = blobs.splice(0, WARM_UPS);
    const origin = await Registry.start(rig, { name: 'origin', dir: data.dir });
    const measure = async ({ url }: { url: string }): Promise<Sample> => {
      await readManifest(url);
      const urls = blobs.map(({ digest }) => url + blobPath(digest));
      const cold = percentiles(await load({ kind: 'first bytes', urls }));
      const warm = percentiles(await load({ kind: 'first bytes', urls }));
      return { [COLD]: cold.p50, 'cold p95 ms': cold.p95, [WARM]: warm.p50, 'warm p95 ms': warm.p95 };
    };
    const contenders = coldContenders(bench, [OURS, ...RIVALS], { origin, warmUp }, measure);
    return interleaved([...contenders, { name: ORIGIN, once: () => measure(origin) }], runs, say);
  },
};

/** As every client does before it asks for a layer. */
async function readManifest(url: string): Promise<void> {
  const answer = await fetch(url + manifestPath(TAG), { headers: { accept: MANIFEST_TYPE } });
  if (!answer.ok) throw new Error(`status ${answer.status} to a request for the manifest at ${url}`);
  await answer.arrayBuffer();
}
