import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { PeersAnswer } from '../../src/app/answers.ts';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { startUp } from '../../src/app/up.ts';
import { createLogger, silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { askService, askSupernode, supernodeAt } from '../../src/cli/api-client.ts';
import type { Config } from '../../src/config/config.ts';
import type { TlsFiles } from '../../src/p2p/protocol/tls-files.ts';
import { eventually, json, nodeConfig, urlOf } from '../support/cluster.ts';
import { doctor, failures, listeningConfig, of } from '../support/doctor-rig.ts';
import { TestCa } from '../support/test-ca.ts';

// Whole clusters are started, which takes its time on a busy machine.
t.setTimeout(900_000);

const NOWHERE = 'http://127.0.0.1:1';

/** A node's directory, with its certificates in it. */
function install(dir: string, files: TlsFiles): TlsFiles {
  mkdirSync(dir, { recursive: true });
  const at = { cert: `${dir}/tls.crt`, key: `${dir}/tls.key`, ca: `${dir}/ca.crt` };
  for (const name of ['cert', 'key', 'ca'] as const) copyFileSync(files[name], at[name]);
  return at;
}

function configOf(
  dir: string,
  tls: TlsFiles | undefined,
  more: { origin?: string; supernodes?: string[] } = {},
): Config {
  const config = nodeConfig({ dir, origin: more.origin ?? NOWHERE, supernodes: more.supernodes ?? [] });
  return { ...config, cluster: { ...config.cluster, ...(tls && { tls }) } };
}

async function supernodeOf(t: Test, config: Config): Promise<{ service: Service; url: string }> {
  const service = await startSupernode(config, { log: silentLogger });
  t.teardown(() => service.stop());
  const { port } = service.addresses[0]!;
  return { service, url: `${config.cluster.tls ? 'https' : 'http'}://127.0.0.1:${port}` };
}

async function proxyOf(t: Test, config: Config): Promise<Service> {
  const service = await startProxyService(config, { log: silentLogger });
  t.teardown(() => service.stop());
  return service;
}

function peersOf(url: string, config: Config): Promise<PeersAnswer> {
  return askService(supernodeAt(url, config), '/api/v1/peers', PeersAnswer);
}

function readyAt(url: string, config: Config, count: number): Promise<void> {
  return eventually(`${count} are ready`, async () => {
    const { peers } = await peersOf(url, config);
    return peers.filter(({ state }) => state === 'ready').length === count;
  });
}

/** Serial number of the certificate that a port shows now. */
async function serialAt(port: number, tls: TlsFiles): Promise<string> {
  const pem = { cert: readFileSync(tls.cert), key: readFileSync(tls.key), ca: readFileSync(tls.ca) };
  const socket = connect({ port, host: '127.0.0.1', ...pem });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

t.test('a cluster over TLS pulls through peers, with its certificates renewed in the middle', async (t) => {
  const image = makeDemoImage([24 * MiB]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const ca = TestCa.root(t);
  const dir = t.testdir({});
  const tlsOf = (name: string) => install(`${dir}/${name}-tls`, ca.issue(name));
  const ofSupernode = configOf('/nowhere', tlsOf('supernode'));
  const { service, url } = await supernodeOf(t, ofSupernode);
  const nodes = ['a', 'b', 'c'].map((name) => {
    const config = configOf(`${dir}/${name}`, tlsOf(name), { origin: origin.url, supernodes: [url] });
    // Until it is taken away: a pull lasts long enough for something to come in between.
    return { ...config, peer: { ...config.peer, downloadBytesPerSecond: 2 * MiB } };
  });
  const proxies = await Promise.all(nodes.map((config) => proxyOf(t, config)));
  await readyAt(url, ofSupernode, 3);
  await pullImage(urlOf(proxies[0]!, 'mirror'), 'demo/app', 'v1');
  const before = origin.bytesOut;
  t.equal(before, image.size, 'one copy from the origin');

  const services = [service, ...proxies];
  const configs = [ofSupernode, ...nodes];
  const ports = services.map(
    ({ addresses }) => addresses.find(({ role }) => role === 'pieces' || role === 'supernode')!.port,
  );
  const serials = () => Promise.all(ports.map((port) => serialAt(port, ofSupernode.cluster.tls!)));
  const old = await serials();
  let ended = false;
  const pulls = Promise.all(
    proxies.slice(1).map((proxy) => pullImage(urlOf(proxy, 'mirror'), 'demo/app', 'v1')),
  ).finally(() => (ended = true));
  const fetched = async () => {
    const { downloads } = await json<{ downloads: { inOrder: number }[] }>(
      `${urlOf(proxies[1]!, 'api')}/api/v1/status`,
    );
    return (downloads[0]?.inOrder ?? 0) > 0;
  };
  await eventually('the pull has begun', fetched);
  for (const config of configs) install(config.cluster.tls!.cert.replace('/tls.crt', ''), ca.issue('renewed'));
  for (const [index, each] of services.entries()) {
    const { keys, errors } = await each.reload(configs[index]!);
    t.same(errors, []);
    t.ok(['cluster.tls.cert', 'cluster.tls.key', 'cluster.tls.ca'].every((key) => keys.includes(key)));
  }
  const fresh = await serials();
  t.notOk(ended, 'it was in the middle');
  for (const [index, proxy] of proxies.entries()) {
    const { peer } = nodes[index]!;
    await proxy.reload({ ...nodes[index]!, peer: { ...peer, downloadBytesPerSecond: undefined } });
  }
  t.equal(new Set([...old, ...fresh]).size, 8, 'each port shows its new certificate');
  for (const { bytes } of await pulls) t.equal(bytes, image.size);
  t.equal(origin.bytesOut, before, 'all of it came from peers');
  t.match(await json(`${urlOf(proxies[1]!, 'api')}/api/v1/status`), { supernodes: [{ url, state: 'connected' }] });
});

/** What stands in a supernode's list of the refused, once it is there. */
async function rejectedAt(url: string, config: Config, code: string): Promise<string> {
  let found: string | undefined;
  await eventually(`${code} is listed`, async () => {
    const { rejected } = await peersOf(url, config);
    found = rejected.find((each) => each.code === code)?.message;
    return found !== undefined;
  });
  return found!;
}

async function sessionSays(proxy: Service, expected: RegExp): Promise<void> {
  await eventually(`the session says ${expected.source}`, async () => {
    const { supernodes } = await json<{ supernodes: { code: string; message: string }[] }>(
      `${urlOf(proxy, 'api')}/api/v1/status`,
    );
    return expected.test(`${supernodes[0]?.code}: ${supernodes[0]?.message}`);
  });
}

t.test('whose TLS differs is listed with the reason, and knows it itself', async (t) => {
  const ca = TestCa.root(t);
  const other = TestCa.root(t, 'other CA');
  const dir = t.testdir({});
  const config = configOf('/nowhere', ca.issue('supernode'));
  const { url } = await supernodeOf(t, config);
  const plainUrl = url.replace('https', 'http');

  const plain = await proxyOf(t, configOf(`${dir}/plain`, undefined, { supernodes: [plainUrl] }));
  await sessionSays(plain, /^TLS_NEEDED/);
  t.match(await rejectedAt(url, config, 'TLS_NEEDED'), /plain HTTP/);

  const foreign = await proxyOf(t, configOf(`${dir}/foreign`, other.issue('foreign'), { supernodes: [url] }));
  await sessionSays(foreign, /^SUPERNODE_TLS: .*signed by no CA that this node trusts/);
  t.match(await rejectedAt(url, config, 'TLS_FAILED'), /may not trust/);

  // It trusts the supernode, and has a certificate of nobody whom that trusts.
  const bundle = `${dir}/both.pem`;
  writeFileSync(bundle, [ca.cert, other.cert].map((path) => readFileSync(path, 'utf8')).join(''));
  const guest = await proxyOf(
    t,
    configOf(`${dir}/guest`, { ...other.issue('guest'), ca: bundle }, { supernodes: [url] }),
  );
  await sessionSays(guest, /^CERTIFICATE_REFUSED/);
  t.match(await rejectedAt(url, config, 'CERTIFICATE_REFUSED'), /CN=guest/);

  const { url: misnamed } = await supernodeOf(t, configOf('/nowhere', ca.issue('x', { names: 'DNS:elsewhere.test' })));
  const member = await proxyOf(t, configOf(`${dir}/member`, ca.issue('member'), { supernodes: [misnamed] }));
  await sessionSays(member, /^SUPERNODE_TLS: .*IP: 127\.0\.0\.1 is not in the cert's list/);

  const openSupernode = configOf('/nowhere', undefined);
  const { url: openUrl } = await supernodeOf(t, openSupernode);
  const eager = await proxyOf(
    t,
    configOf(`${dir}/eager`, ca.issue('eager'), { supernodes: [openUrl.replace('http', 'https')] }),
  );
  await sessionSays(eager, /^SUPERNODE_TLS: .*answers without TLS/);
  t.match(await rejectedAt(openUrl, openSupernode, 'TLS_NOT_OFFERED'), /speaks TLS/);

  // And a person who asks.
  await t.rejects(peersOf(openUrl.replace('http', 'https'), config), {
    code: 'SERVICE_UNREACHABLE',
    message: /without TLS/,
  });
  await t.rejects(peersOf(plainUrl, config), {
    code: 'TLS_NEEDED',
    message: /this port speaks TLS only/,
  });

  const { peers } = await peersOf(url, config);
  t.same(peers, [], 'none of them is a peer');
});

t.test('a stranger without a certificate gets no session, and names no operator', async (t) => {
  const ca = TestCa.root(t);
  const base = configOf('/nowhere', ca.issue('supernode'));
  const config = { ...base, supernode: { ...base.supernode, listen: { host: '0.0.0.0', port: 0 } } };
  const { url } = await supernodeOf(t, config);
  const agent = new Agent({ connect: { ca: readFileSync(ca.cert) } });
  t.teardown(() => agent.destroy());
  const ask = (path: string, headers = {}) => request(url + path, { dispatcher: agent, headers });
  t.equal((await ask('/livez')).statusCode, 200);
  t.equal((await ask('/api/v1/peers')).statusCode, 401);
  const upgrade = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
  };
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', ca: readFileSync(ca.cert) });
  socket.write(
    `GET /api/v1/session HTTP/1.1\r\nHost: x\r\n${Object.entries(upgrade)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`,
  );
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 403 [^]*Hawker-Refusal: CERTIFICATE_NEEDED/);
  socket.destroy();
  const { rejected } = await peersOf(url, config);
  t.match(rejected, [{ code: 'CERTIFICATE_NEEDED', message: 'it shows no certificate' }]);
  const listed = await askSupernode({ ...config, supernodes: [url] }, '/api/v1/peers', PeersAnswer);
  t.equal(listed.url, url, 'a member asks without a token');
});

t.test('`hawker up` keeps its own session in memory, and others join it by TLS', async (t) => {
  const ca = TestCa.root(t);
  const dir = t.testdir({});
  const base = configOf(`${dir}/up`, ca.issue('up'));
  const config = { ...base, supernodes: ['https://127.0.0.1:0'] };
  const up = await startUp(config, { log: silentLogger });
  t.teardown(() => up.stop());
  const url = urlOf(up, 'supernode').replace('http', 'https');
  await proxyOf(t, configOf(`${dir}/other`, ca.issue('other'), { supernodes: [url] }));
  await readyAt(url, config, 2);
  const own = { ...listeningConfig(config, up), supernodes: [url] };
  const findings = await doctor(own);
  t.same(failures(findings), []);
  t.match(of(findings, 'SUPERNODE_HERE'), { status: 'ok' });
  const { peers } = await peersOf(url, config);
  t.same(new Set(peers.map(({ from }) => from)), new Set(['127.0.0.1', 'this process']));
});

t.test('doctor goes the same way', async (t) => {
  const ca = TestCa.root(t);
  const dir = t.testdir({});
  const { url } = await supernodeOf(t, configOf('/nowhere', ca.issue('supernode')));
  const config = configOf(`${dir}/node`, ca.issue('node'), { supernodes: [url] });
  const proxy = await proxyOf(t, config);
  const running = { ...listeningConfig(config, proxy), supernodes: [url] };
  await readyAt(url, config, 1);
  const good = await doctor(running);
  t.match(of(good, 'SUPERNODE_HANDSHAKE'), { status: 'ok', seen: /^TLSv1\.3; its certificate CN=supernode/ });
  t.match(of(good, 'MEMBERSHIP'), { status: 'ok', seen: /each has shown the other a certificate/ });
  for (const code of [
    'SUPERNODE_HTTP',
    'SUPERNODE_PROTOCOL',
    'SUPERNODE_API',
    'PIECE_PORT',
    'DIAL_BACK',
    'REGISTRATION',
  ]) {
    t.match(of(good, code), { status: 'ok' }, code);
  }

  t.same((await peersOf(url, config)).rejected, [], 'and leaves nothing behind');

  const foreign = configOf(`${dir}/foreign`, TestCa.root(t, 'other CA').issue('x'), { supernodes: [url] });
  const bad = await doctor(foreign);
  t.match(of(bad, 'SUPERNODE_HANDSHAKE'), {
    status: 'failed',
    error: 'SUPERNODE_TLS',
    seen: /no CA that this node trusts/,
  });
  t.match(of(bad, 'SUPERNODE_HTTP'), { status: 'skipped' });

  const plain = configOf(`${dir}/plain`, undefined, { supernodes: [url.replace('https', 'http')] });
  t.match(of(await doctor(plain), 'SUPERNODE_HTTP'), {
    status: 'failed',
    error: 'TLS_NEEDED',
    todo: /set cluster.tls/,
  });

  const broken = configOf(`${dir}/broken`, { ...ca.issue('x'), key: '/nothing' }, { supernodes: [url] });
  t.match(of(await doctor(broken), 'SUPERNODE_HANDSHAKE'), { status: 'skipped', seen: /certificates of this node/ });
});

t.test('a supernode resumes no session: its word on who is a member is always of this very connection', async (t) => {
  const ca = TestCa.root(t);
  const { url } = await supernodeOf(t, configOf('/nowhere', ca.issue('supernode')));
  const port = Number(new URL(url).port);
  const trusted = { port, host: '127.0.0.1', ca: readFileSync(ca.cert) };
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const ask = async (session?: Buffer) => {
      const socket = connect({ ...trusted, maxVersion, ...(session && { session }) });
      let fresh: Buffer | undefined;
      socket.on('session', (each) => (fresh = each));
      socket.write('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
      await once(socket, 'data');
      const isReused = socket.isSessionReused();
      socket.destroy();
      return { isReused, session: fresh ?? socket.getSession() };
    };
    const { session } = await ask();
    t.equal((await ask(session)).isReused, false, maxVersion);
  }
});

t.test('with a join secret as well, both are asked for', async (t) => {
  const ca = TestCa.root(t);
  const dir = t.testdir({});
  const secretFile = `${dir}/secret`;
  writeFileSync(secretFile, 's'.repeat(40), { mode: 0o600 });
  const base = configOf('/nowhere', ca.issue('supernode'));
  const config = { ...base, cluster: { ...base.cluster, secretFile } };
  const { url } = await supernodeOf(t, config);
  const without = await proxyOf(t, configOf(`${dir}/a`, ca.issue('a'), { supernodes: [url] }));
  await sessionSays(without, /^NOT_A_MEMBER/);
  const whole = configOf(`${dir}/b`, ca.issue('b'), { supernodes: [url] });
  await proxyOf(t, { ...whole, cluster: { ...whole.cluster, secretFile } });
  await readyAt(url, config, 1);
});

t.test('who is beyond loopback without TLS is told once that pieces cross in clear', async (t) => {
  const ca = TestCa.root(t);
  const dir = t.testdir({});
  const said = async (tls: TlsFiles | undefined, host: string) => {
    const codes: string[] = [];
    const destination = { write: (line: string) => void codes.push((JSON.parse(line) as { code: string }).code) };
    const base = configOf(`${dir}/${host}${tls ? '-tls' : ''}`, tls);
    const peer = { ...base.peer, listen: { host, port: 0 }, advertise: ['127.0.0.1:1'] };
    const log = createLogger({ level: 'info', format: 'json', destination });
    const proxy = await startProxyService({ ...base, peer }, { log });
    await proxy.stop();
    return codes.filter((code) => code === 'PIECES_IN_CLEAR').length;
  };
  t.equal(await said(undefined, '0.0.0.0'), 1);
  t.equal(await said(undefined, '127.0.0.1'), 0);
  t.equal(await said(ca.issue('a'), '0.0.0.0'), 0);
});
