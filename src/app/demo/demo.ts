import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../base/log.ts';
import { GiB, MiB } from '../../base/units.ts';
import { startUp } from '../up.ts';
import { makeDemoImage } from './image.ts';
import { DemoOrigin } from './origin.ts';
import { pullImage } from './pull.ts';

const REPOSITORY = 'demo/app';
const TAG = 'v1';
const LAYER_BYTES = [40 * MiB, 16 * MiB, 6 * MiB, 2 * MiB];
/** The registry's name as clients would spell it; no such host is asked for anything. */
const REGISTRY = 'demo.test';

/** One pull of the demonstration. */
export interface DemoPull {
  readonly name: 'cold' | 'warm' | 'origin stopped';
  readonly seconds: number;
  readonly imageBytes: number;
  readonly originBytes: number;
  readonly storeBytes: number;
}

export interface Demo {
  readonly layers: number;
  readonly imageBytes: number;
  /** The pulls, each done when it is asked for. */
  readonly pulls: AsyncIterable<DemoPull>;
}

/**
 * Shows what Hawker does, with nothing but this process: a registry with one image, and a whole Hawker in front of it, on
 * free ports of loopback and in a temporary directory. Everything is taken down with the last pull, or when the iteration is
 * left.
 */
export function demo(deps: { log: Logger }): Demo {
  const image = makeDemoImage(LAYER_BYTES);
  return { layers: LAYER_BYTES.length, imageBytes: image.size, pulls: pulls(image, deps.log) };
}

async function* pulls(image: ReturnType<typeof makeDemoImage>, log: Logger): AsyncGenerator<DemoPull, void> {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-demo-'));
  const origin = await DemoOrigin.start(REPOSITORY, TAG, image);
  let originRuns = true;
  try {
    const service = await startUp(
      {
        proxy: { listen: LOOPBACK, listeners: [], defaultUpstream: REGISTRY, staleTagsMs: 3_600_000 },
        peer: {
          listen: LOOPBACK,
          advertise: [],
          zone: undefined,
          uploadBytesPerSecond: undefined,
          downloadBytesPerSecond: undefined,
          uploadSlots: 4,
        },
        api: { listen: LOOPBACK },
        supernode: { listen: LOOPBACK, heartbeatMs: 5000 },
        supernodes: [],
        cluster: { secretFile: undefined },
        store: { dir, quotaBytes: GiB, containerd: undefined },
        upstreams: { [REGISTRY]: { url: origin.url, insecure: false, allow: [] } },
        log: { level: 'info', format: 'json' },
      },
      { log },
    );
    try {
      const { port } = service.addresses.find(({ role }) => role === 'mirror')!;
      for (const name of ['cold', 'warm', 'origin stopped'] as const) {
        if (name === 'origin stopped') {
          await origin.stop();
          originRuns = false;
        }
        const before = origin.bytesOut;
        const { bytes, seconds } = await pullImage(`http://127.0.0.1:${port}`, REPOSITORY, TAG);
        const originBytes = origin.bytesOut - before;
        yield { name, seconds, imageBytes: bytes, originBytes, storeBytes: Math.max(0, bytes - originBytes) };
      }
    } finally {
      await service.stop();
    }
  } finally {
    if (originRuns) await origin.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

const LOOPBACK = { host: '127.0.0.1', port: 0 };
