import { hostname, networkInterfaces } from 'node:os';
import t from 'tap';
import { makeImage } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, type RigOptions } from '../proxy/rig.ts';

const IMAGE = makeImage({ seed: 31, layers: [1000] });
const PATH = `/v2/org/app/manifests/v1?ns=${REGISTRY}`;
/** An address of this machine that is not loopback, if it has one. */
const OWN = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address;

type Test = Parameters<typeof Rig.start>[0];

async function start(t: Test, options: RigOptions = {}): Promise<Rig> {
  const rig = await Rig.start(t, options);
  rig.origin.addImage('org/app', 'v1', IMAGE);
  return rig;
}

/** Status and code of the answer; what comes back where nothing is refused is the manifest. */
async function ask(rig: Rig, headers: Record<string, string>, host?: string): Promise<string> {
  const answer = await rig.ask(PATH, { headers, ...(host !== undefined && { host }) });
  if (answer.status === 200) return answer.headers['docker-content-digest'] === undefined ? 'something else' : 'served';
  return `${answer.status} ${errorIn(answer).detail.code}`;
}

t.test('I4: over loopback the mirror is asked for by its own names only (DNS rebinding)', async (t) => {
  const rig = await start(t, { names: ['Mirror.example'] });
  const { port } = rig;
  for (const host of [
    `127.0.0.1:${port}`,
    '127.0.0.1',
    '127.9.9.9:1',
    `localhost:${port}`,
    'LOCALHOST',
    `[::1]:${port}`,
  ])
    t.equal(await ask(rig, { host }), 'served', host);
  for (const host of [`mirror.example:${port}`, 'MIRROR.EXAMPLE', hostname(), `${hostname()}:${port}`])
    t.equal(await ask(rig, { host }), 'served', host);
  const before = rig.origin.requests.length;
  for (const host of [
    'attacker.example',
    `attacker.example:${port}`,
    'localhost.attacker.example',
    '127.0.0.1.attacker.example',
    'mirror.example.attacker.example',
    'x.mirror.example',
    '10.0.0.1',
    '127.0.0.1@attacker.example',
    `attacker.example#@127.0.0.1:${port}`,
  ])
    t.equal(await ask(rig, { host }), '404 HOST_REFUSED', `"${host}"`);
  t.equal(rig.origin.requests.length, before, 'the registry hears nothing of it');
  t.match(rig.lines.join(''), /"code":"HOST_REFUSED"[^\n]*proxy\.names/);
  const answer = await rig.ask('/v2/', { headers: { host: 'attacker.example' } });
  t.equal(answer.status, 404, 'docker goes on without a mirror then');
});

t.test('I4: nothing is served to a page in a browser, whatever its name', async (t) => {
  const rig = await start(t);
  for (const headers of [
    { origin: 'https://attacker.example' },
    { origin: 'null' },
    { origin: `http://localhost:${rig.port}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'same-origin' },
  ])
    t.equal(await ask(rig, headers as Record<string, string>), '404 BROWSER_REFUSED', JSON.stringify(headers));
  t.equal(await ask(rig, { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }), 'served', 'typed by a person');
});

t.test(
  'beyond loopback the name is the operator’s business, a page is not',
  { skip: OWN === undefined && 'no address' },
  async (t) => {
    const rig = await start(t, { listenHost: '0.0.0.0' });
    t.equal(await ask(rig, { host: 'mirror.corp:65001' }, OWN), 'served');
    t.equal(await ask(rig, { host: 'mirror.corp', origin: 'https://attacker.example' }, OWN), '404 BROWSER_REFUSED');
    t.equal(
      await ask(rig, { host: 'mirror.corp' }, '127.0.0.1'),
      '404 HOST_REFUSED',
      'the same listener, over loopback',
    );
  },
);

t.test('HTTP/1.0 without a host is answered: no browser speaks it', async (t) => {
  const rig = await start(t);
  t.match(await rig.raw(`GET ${PATH} HTTP/1.0\r\n\r\n`), /^HTTP\/1\.1 200 OK/);
  const two = `GET ${PATH} HTTP/1.1\r\nHost: attacker.example\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  t.match(await rig.raw(two), /^HTTP\/1\.1 404 /, 'of two, the first counts');
});
