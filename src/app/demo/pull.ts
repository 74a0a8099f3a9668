import { Agent, get, type IncomingMessage } from 'node:http';
import { digestOf, hasherFor, digestFrom, parseDigest, type Digest } from '../../base/digest.ts';
import { codedError } from '../../base/errors.ts';

const PullFailed = codedError('DEMO_PULL_FAILED', {
  message: (p: { path: string; came: string }) => `GET ${p.path} through the mirror gave ${p.came}`,
  todo: 'please report it, with the output of hawker demo --log-level debug',
});

/** What one pull of an image brought. */
export interface Pulled {
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Pulls an image through a mirror as a client does: the tag's manifest, then all blobs at once, each checked against its
 * digest. Rejects with DEMO_PULL_FAILED.
 */
export async function pullImage(mirror: string, repository: string, tag: string): Promise<Pulled> {
  const agent = new Agent({ keepAlive: true });
  const startedAt = performance.now();
  try {
    const manifest = await fetchManifest(agent, mirror, `/v2/${repository}/manifests/${tag}`);
    const { config, layers } = JSON.parse(manifest.toString()) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    const digests = [config, ...layers].map((descriptor) => parseDigest(descriptor.digest)!);
    const sizes = await Promise.all(
      digests.map((digest) => fetchBlob(agent, mirror, `/v2/${repository}/blobs/${digest}`, digest)),
    );
    const bytes = sizes.reduce((sum, size) => sum + size, manifest.length);
    return { bytes, seconds: (performance.now() - startedAt) / 1000 };
  } finally {
    agent.destroy();
  }
}

async function fetchManifest(agent: Agent, mirror: string, path: string): Promise<Buffer> {
  const response = await request(agent, mirror, path);
  const bytes = Buffer.concat((await response.toArray()) as Buffer[]);
  const said = response.headers['docker-content-digest'];
  if (said !== digestOf(bytes)) throw new PullFailed({ path, came: `a manifest that is not ${String(said)}` });
  return bytes;
}

/** Reads a blob to its end and checks it; its size in bytes. */
async function fetchBlob(agent: Agent, mirror: string, path: string, digest: Digest): Promise<number> {
  const response = await request(agent, mirror, path);
  const hash = hasherFor(digest);
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  if (digestFrom('sha256', hash) !== digest) throw new PullFailed({ path, came: 'other bytes than its digest names' });
  return size;
}

async function request(agent: Agent, mirror: string, path: string): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${mirror}${path}`, { agent }, resolve).on('error', reject);
  });
  if (response.statusCode === 200) return response;
  response.resume();
  throw new PullFailed({ path, came: `status ${response.statusCode}` });
}
