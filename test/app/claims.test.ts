import { writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import type { Config } from '../../src/config/config.ts';
import { PROOF_BYTES, WHOLE_BYTES } from '../../src/proxy/proofs.ts';
import { ClaimingRegistry } from '../support/claiming-registry.ts';
import { eventually, nodeConfig, peersReady, REGISTRY, urlOf } from '../support/cluster.ts';
import { HostileRegistry, makeImage, testBlob, type TestBlob } from '../support/hostile-registry.ts';

const LARGE = makeImage({ seed: 81, layers: [9 * MiB] }).layers[0]!;
const SMALL = makeImage({ seed: 82, layers: [3000] }).layers[0]!;
const BLOBS = [LARGE, SMALL];
const EVIL = 'evil.test';
const ALICE = { authorization: `Basic ${Buffer.from('alice:password-of-alice').toString('base64')}` };

/** Proxies with a secret, a registry whose repositories `org/…` are private, and one that claims whatever it is asked for. */
async function start(t: Test, nodes: number) {
  const origin = await HostileRegistry.start();
  t.teardown(() => origin.close());
  const evil = await ClaimingRegistry.start();
  t.teardown(() => evil.close());
  const { auth } = origin;
  auth.mode = 'bearer';
  auth.users.set('alice', 'password-of-alice');
  for (const blob of BLOBS) {
    evil.sizes.set(blob.digest, blob.bytes.length);
    for (const repository of ['org/app', 'org/other', 'open/app', 'open/other']) {
      if (repository.startsWith('org/')) auth.privateRepositories.add(repository);
      origin.addBlob(repository, blob);
    }
  }
  const dir = t.testdir({});
  const secretFile = `${dir}/secret`;
  writeFileSync(secretFile, 's'.repeat(40), { mode: 0o600 });
  const configOf = (name: string, supernodes: string[]): Config => {
    const config = nodeConfig({ dir: `${dir}/${name}`, origin: origin.url, supernodes });
    const known = config.upstreams[REGISTRY]!;
    const upstreams = { ...config.upstreams, [EVIL]: { ...known, url: evil.url } };
    return { ...config, upstreams, cluster: { ...config.cluster, secretFile } };
  };
  const supernode = await startSupernode(configOf('supernode', []), { log: silentLogger });
  t.teardown(() => supernode.stop());
  const url = urlOf(supernode, 'supernode');
  const proxies: Service[] = [];
  for (let n = 0; n < nodes; n += 1) {
    const proxy = await startProxyService(configOf(`${n}`, [url]), { log: silentLogger });
    t.teardown(() => proxy.stop());
    proxies.push(proxy);
  }
  await peersReady(url, nodes);
  const blobBytes = () =>
    origin.requests.reduce((sum, { kind, bodyBytes }) => sum + (kind === 'blob' ? bodyBytes : 0), 0);
  return { origin, evil, proxies, blobBytes };
}

async function open(proxy: Service, place: string, { digest }: TestBlob, headers = {}): Promise<IncomingMessage> {
  const asking = request(`${urlOf(proxy, 'mirror')}/v2/${place.replace('?', `/blobs/${digest}?`)}`, {
    headers,
    agent: false,
  });
  asking.end();
  return new Promise((resolve, reject) => asking.once('response', resolve).once('error', reject));
}

interface Got {
  readonly status: number | undefined;
  readonly bytes: Buffer;
  readonly whole: boolean;
}

async function get(proxy: Service, place: string, blob: TestBlob, headers = {}): Promise<Got> {
  const response = await open(proxy, place, blob, headers);
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => response.once('close', resolve).once('error', () => undefined));
  const { statusCode: status, complete: whole } = response;
  return { status, bytes: Buffer.concat(chunks), whole };
}

const APP = `org/app?ns=${REGISTRY}`;
const OTHER = `org/other?ns=${REGISTRY}`;
const CLAIMED = `x/y?ns=${EVIL}`;

function isIn(bytes: Buffer, { bytes: secret }: TestBlob): boolean {
  for (let at = 0; at + 16 <= bytes.length; at += 16)
    if (secret.subarray(at, at + 16).equals(bytes.subarray(at, at + 16))) return true;
  return false;
}

t.test(
  'I4: a registry that claims what a peer has privately is given nothing of it; whose it is reads no byte again',
  async (t) => {
    const { proxies, blobBytes } = await start(t, 3);
    const [one, two, three] = proxies as [Service, Service, Service];
    for (const blob of BLOBS) t.ok((await get(one, APP, blob, ALICE)).bytes.equals(blob.bytes));
    for (const blob of BLOBS) {
      for (const node of [one, two]) {
        const got = await get(node, CLAIMED, blob);
        t.notOk(isIn(got.bytes, blob), `of what is at ${node === one ? 'this node' : 'another'}`);
        t.notOk(got.status === 200 && got.whole);
      }
    }
    const before = blobBytes();
    for (const blob of BLOBS) t.match(await get(three, APP, blob, ALICE), { bytes: blob.bytes, whole: true });
    t.equal(blobBytes(), before, 'the same repository has shown it to the cluster');
    for (const blob of BLOBS) t.match(await get(three, OTHER, blob, ALICE), { bytes: blob.bytes });
    t.ok(SMALL.bytes.length <= WHOLE_BYTES);
    t.equal(blobBytes() - before, PROOF_BYTES + SMALL.bytes.length, 'another one proves it');
  },
);

t.test('a repository that has what a peer has privately proves it once, as it comes', async (t) => {
  const { proxies, blobBytes } = await start(t, 2);
  const [one, two] = proxies as [Service, Service];
  await get(one, APP, LARGE, ALICE);
  const before = blobBytes();
  t.match(await get(two, OTHER, LARGE, ALICE), { bytes: LARGE.bytes });
  t.equal(blobBytes() - before, PROOF_BYTES);
});

t.test('I3: what was read without a credential costs the others no byte, wherever they read it', async (t) => {
  const { proxies, blobBytes, evil } = await start(t, 2);
  const [one, two] = proxies as [Service, Service];
  for (const blob of BLOBS) await get(one, `open/app?ns=${REGISTRY}`, blob);
  const before = blobBytes();
  for (const blob of BLOBS) {
    t.match(await get(two, `open/other?ns=${REGISTRY}`, blob), { bytes: blob.bytes });
    t.match(await get(two, APP, blob, ALICE), { bytes: blob.bytes });
    t.match(await get(two, CLAIMED, blob), { bytes: blob.bytes }, 'who claims it gains nothing');
  }
  t.equal(blobBytes(), before);
  t.notOk(evil.requests.some(({ method }) => method === 'GET'));
});

t.test('I4: bytes that a claiming registry has put into the swarm are no proof of the others’', async (t) => {
  const { origin, proxies } = await start(t, 3);
  const [one, two, three] = proxies as [Service, Service, Service];
  const poison = get(two, CLAIMED, LARGE);
  origin.faults.stall = { bytes: 2 * MiB, times: 1 };
  const alice = get(one, APP, LARGE, ALICE);
  for (let round = 0; round < 3; round += 1) {
    for (const node of [two, three]) {
      const got = await get(node, CLAIMED, LARGE, round === 1 ? { range: 'bytes=3000000-5999999' } : {});
      const start = round === 1 ? 3_000_000 : 0;
      t.notOk(isIn(got.bytes, testBlob(LARGE.bytes.subarray(start))));
    }
  }
  t.notOk(isIn((await poison).bytes, LARGE));
  const got = await alice;
  t.ok(!got.whole || got.bytes.equals(LARGE.bytes));
  await eventually('whose it is can read it', async () => {
    const { bytes, whole } = await get(three, APP, LARGE, ALICE);
    return whole && bytes.equals(LARGE.bytes);
  });
});
