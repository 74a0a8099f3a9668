import { once } from 'node:events';
import { request } from 'node:http';
import { createServer, isIPv6, type AddressInfo } from 'node:net';
import t from 'tap';
import { AddressGate } from '../../src/http/address-gate.ts';
import { gatedTransport } from '../../src/http/gated-transport.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { HAS_IPV6 } from '../support/ipv6.ts';
import { failureOf, KeepingSink, never, openUpstream } from '../support/registry-client.ts';

/*
 * A registry that is allowed, and means to have this node ask its own machine or network: in every spelling of an address, at every
 * place where a registry says whom to ask next. A listener on this machine's loopback sees whether anybody comes.
 */

/** `127.0.0.1` and others as a URL may have them, for the port of the listener. */
const FORMS = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '2130706433',
  '017700000001',
  '0x7f000001',
  '0x7f.0.0.1',
  '0177.0.0.01',
  '127.0.0.1.',
  '0.0.0.0',
  '0',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:7f00:1]',
  '[::127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[::ffff:0:127.0.0.1]',
  '[fe80::1]',
  '[fd00::1]',
  '169.254.169.254',
  '[fd00:ec2::254]',
  'localhost',
  'LOCALHOST.',
  'x.localhost',
  '①②⑦.⓪.⓪.①',
  '１２７．０．０．１',
  '127。0。0。1',
  'ⓛocalhost',
  'user@127.0.0.1',
  'registry.test@127.0.0.1',
];

const REPO = 'library/app';
const image = makeImage({ seed: 9, layers: [2_000_000] });
const layer = image.layers[0]!;

/** A port of this machine's loopback, both families, where nobody is to come. */
async function trap(t: { teardown(callback: () => unknown): void }): Promise<{ port: number; visits: () => number }> {
  let visits = 0;
  const server = createServer((socket) => {
    visits += 1;
    socket.destroy();
  });
  server.listen(0, HAS_IPV6 ? '::' : '0.0.0.0');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { port: (server.address() as AddressInfo).port, visits: () => visits };
}

t.test('redirects of blobs and of manifests, and token realms', async (t) => {
  const { port, visits } = await trap(t);
  // The registry's own address is open, as that of one on this machine has to be; nothing else is.
  const opened = await openUpstream(t, { allow: [] }, { origin: { address: '127.0.0.9' } });
  const { origin, upstream } = opened;
  origin.addImage(REPO, 'v1', image);
  const refusals = /^(ADDRESS_REFUSED|ORIGIN_REDIRECT_REFUSED|ORIGIN_REALM_REFUSED)$/;
  for (const form of FORMS) {
    const url = `http://${form}:${port}/x`;
    origin.redirectBlobs = { status: 307 };
    origin.redirectTo = () => encodeURI(url);
    const blob = upstream.blob(REPO, layer.digest).read({ start: 0 }, new KeepingSink(), never);
    t.match((await failureOf(blob)).code, refusals, `a blob, ${form}`);
    // That it redirects is answer enough: nobody follows.
    await upstream.confirmBlob(REPO, layer.digest).catch(() => undefined);
    origin.redirectBlobs = undefined;
    origin.faults.on = ['manifest'];
    origin.faults.status = { code: 302, times: 1 };
    origin.faults.headers = { location: encodeURI(url) };
    const manifest = upstream.getManifest(REPO, { tag: 'v1' }, MANIFEST_ACCEPT);
    t.match((await failureOf(manifest)).code, refusals, `a manifest, ${form}`);
    origin.faults.headers = {};
    origin.faults.status = undefined;
    origin.auth.mode = 'bearer';
    origin.auth.realm = encodeURI(url);
    const token = upstream.headManifest(`${REPO}/x${FORMS.indexOf(form)}`, { tag: 'v1' }, MANIFEST_ACCEPT);
    t.match((await failureOf(token)).code, refusals, `a token, ${form}`);
    origin.auth.mode = 'none';
  }
  t.equal(visits(), 0, 'nobody came');
});

t.test('a name is resolved for each connection, and what was looked at is what is connected to', async (t) => {
  const { port, visits } = await trap(t);
  const bad = ['127.0.0.1', '::1', '169.254.169.254', 'fd00::1', '64:ff9b::7f00:1', '::ffff:127.0.0.1', '0.0.0.0'];
  // Documentation addresses are refused too, so the first answer is one that leads nowhere: the connection times out.
  const answers = ['192.88.98.1', ...bad, '127.0.0.1'];
  let asked = 0;
  const gate = new AddressGate({ open: undefined, allow: [] }, (_name, _options, callback) => {
    const address = answers[Math.min(asked, answers.length - 1)]!;
    asked += 1;
    callback(null, [{ address, family: isIPv6(address) ? 6 : 4 }]);
  });
  const transport = gatedTransport({ gate, connectTimeoutMs: 100, insecure: false });
  t.teardown(() => transport.close());
  const byAgent = () =>
    new Promise<{ code?: string }>((resolve) => {
      const asking = request({ host: 'rebind.test', port, agent: transport.agent('http:') }, () =>
        resolve({ code: 'answered' }),
      );
      asking.on('error', resolve).end();
    });
  const byReader = () =>
    new Promise<{ code?: string }>((resolve) => {
      const done = () => resolve({ code: 'answered' });
      const handler = {
        head: done,
        data: done,
        end: done,
        failed: (error: unknown) => resolve(error as { code?: string }),
      };
      transport.reader.get(new URL(`http://rebind.test:${port}/`), {}, handler);
    });
  const first = await byAgent();
  t.not(first.code, 'ADDRESS_REFUSED', 'a public address passes');
  for (const address of bad) t.equal((await byAgent()).code, 'ADDRESS_REFUSED', address);
  asked = 1;
  for (const address of bad) t.equal((await byReader()).code, 'ADDRESS_REFUSED', address);
  t.equal(asked, 1 + bad.length, 'one look for each connection, and none between it and the connection');
  t.equal(visits(), 0);
});
