/** Findings of an audit of Hawker's ancestor that no other test is about; docs/security.md has the list. */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import fastify from 'fastify';
import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { parseSize } from '../../src/base/units.ts';
import { ApiAccess } from '../../src/http/api-access.ts';
import { parseRange, resolveRange } from '../../src/http/range.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { parseFromProxy } from '../../src/p2p/protocol/messages.ts';
import { supernodeApi } from '../../src/p2p/supernode/api.ts';
import { parseContentLength, parseContentRange } from '../../src/registry/content-range.ts';
import { parseManifest } from '../../src/registry/manifest.ts';
import { DiskStore } from '../../src/store/disk-store.ts';
import { FaultyFiles, systemError } from '../store/faulty-files.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { sampleBlob } from '../support/store-conformance.ts';
import { makeSupernode, SECRET } from '../support/swarm-rig.ts';

t.test(
  'finding 1: what a supernode serves beyond loopback, and what it does not, is closed without a token',
  async (t) => {
    const app = fastify();
    t.teardown(() => app.close());
    const access = new ApiAccess({ operator: ['o'.repeat(32)], reader: ['r'.repeat(32)] });
    const clock = new ManualClock();
    const supernode = makeSupernode(clock);
    await app.register(supernodeApi, { supernode, metrics: new Metrics(), access, clock, log: silentLogger });
    const reader = { authorization: `Bearer ${'r'.repeat(32)}` };
    for (const url of ['/', '/nothing', '/api/v1/peers', '/api/v1/preheat', '/api/v1/jobs', '/metrics']) {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'] as const) {
        t.equal((await app.inject({ url, method })).statusCode, 401, `${method} ${url}`);
        if (method !== 'GET')
          t.equal((await app.inject({ url, method, headers: reader })).statusCode, 401, 'members only ask');
      }
    }
    const nothing = await app.inject({ url: '/nothing', headers: reader });
    t.match([nothing.statusCode, nothing.json()], [404, { code: 'PATH_UNKNOWN' }]);
  },
);

t.test('finding 7: a blob is published only when all of it is on the disk', async (t) => {
  const blob = sampleBlob(10_000);
  for (const op of ['file.write', 'file.sync']) {
    const files = new FaultyFiles();
    const dir = join(t.testdir({}), 'store');
    const open = (port?: FaultyFiles) =>
      DiskStore.open({
        dir,
        quotaBytes: 1_000_000,
        log: silentLogger,
        metrics: new Metrics(),
        clock: new ManualClock(),
        ...(port && { files: port }),
      });
    const store = await open(files);
    const incoming = await store.receive(blob.digest, { size: blob.bytes.length, pieceSize: 1024 * 1024 });
    files.fault = (call) => (call.op === op && call.path.includes('incoming') ? systemError('EIO') : undefined);
    await t.rejects(
      (async () => {
        await incoming.write(blob.bytes, 0);
        await incoming.publish(blob.digest, blob.bytes.length);
      })(),
      `${op} fails`,
    );
    t.equal(store.sizeOf(blob.digest), undefined, `${op}: it is not there`);
    files.fault = () => undefined;
    await incoming.close();
    await store.close();
    const again = await open();
    t.equal(again.sizeOf(blob.digest), undefined, `${op}: nor after a restart`);
    await again.close();
  }
});

t.test('finding 8: what proves somebody is compared in constant time', async (t) => {
  const real = crypto.timingSafeEqual;
  let compared = 0;
  crypto.timingSafeEqual = (a, b) => {
    compared += 1;
    return real(a, b);
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    crypto.timingSafeEqual = real;
    syncBuiltinESMExports();
  });
  const membership = new Membership(SECRET);
  const wrong = 'x'.repeat(43);
  const facts = { supernodeNonce: 'a', peerNonce: 'b', epoch: 'c', peer: 'd', instance: 'e', addresses: [] };
  const reading = { nonce: 'n', peer: 'p', instance: 'i', registry: 'r', repository: 'x', digest: 'd', said: 's' };
  const token = membership.pieceToken({ sender: 's', receiver: 'r', instance: 'i' }, 0).replace(/.$/, 'x');
  const access = new ApiAccess({ operator: ['o'.repeat(32)], reader: [] });
  const checks: Record<string, () => unknown> = {
    'session proof': () => membership.proverOf(wrong, 'peer', facts) !== undefined,
    'whoami proof': () =>
      membership.isWhoamiProof(wrong, facts.peer === 'd' ? { nonce: 'n', peer: 'p', instance: 'i' } : (facts as never)),
    'reading proof': () => membership.isReadingProof(wrong, reading),
    'piece token': () => membership.checkPieceToken(token, { sender: 's', instance: 'i' }, 0) !== undefined,
    'operator token': () => access.of('GET', `Bearer ${wrong}`) === 'granted',
    'operator token of another length': () => access.of('GET', 'Bearer x') === 'granted',
  };
  for (const [what, check] of Object.entries(checks)) {
    compared = 0;
    t.equal(check(), false, `${what}: a wrong one`);
    t.ok(compared > 0, `${what}: compared so`);
  }
});

t.test('finding 19: numbers beyond what a double holds exactly are refused wherever they come in', async (t) => {
  const digest = sampleBlob(10).digest;
  for (const number of ['9007199254740992', '9007199254740993', '18446744073709551616', `1${'0'.repeat(30)}`]) {
    t.equal(parseContentLength(number), undefined, `Content-Length ${number}`);
    t.equal(parseContentRange(`bytes 0-99/${number}`), undefined, `Content-Range of ${number}`);
    t.equal(parseContentRange(`bytes ${number}-${number}/*`), undefined, `Content-Range at ${number}`);
    t.equal(parseSize(`${number}B`), undefined, `a size of ${number}B`);
    for (const range of [`bytes=${number}-`, `bytes=${number}-${number}`]) {
      const answer = resolveRange(parseRange(range), 1000);
      t.ok(answer.kind === 'whole' || answer.kind === 'unsatisfiable', `Range ${range}: ${answer.kind}`);
    }
    const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"mediaType":"x","digest":"${digest}","size":${number}}]}`;
    t.same(
      parseManifest(Buffer.from(manifest), 'application/vnd.oci.image.manifest.v1+json').children,
      [],
      `a layer of ${number}`,
    );
    const announce = `{"t":"announce","epoch":"${'e'.repeat(16)}","blobs":[["${digest}",${number},""]]}`;
    t.throws(() => parseFromProxy(announce), { code: 'MESSAGE_INVALID' }, `a blob of ${number} in a message`);
    const want = `{"t":"want","epoch":"${'e'.repeat(16)}","w":${number},"digest":"${digest}","held":"","awaited":[],"origin":true}`;
    t.throws(() => parseFromProxy(want), { code: 'MESSAGE_INVALID' }, `wish ${number}`);
  }
});
