/** One file of settings for all nodes: `peer.listen` on all addresses, and nothing advertised. */
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import t, { type Test } from 'tap';
import { PeersAnswer, type ProxyStatusAnswer } from '../../src/app/answers.ts';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { OwnAddressUnknown } from '../../src/app/errors.ts';
import { ownHosts } from '../../src/app/own-address.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startUp } from '../../src/app/up.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { askSupernode } from '../../src/cli/api-client.ts';
import { statusText } from '../../src/cli/status.ts';
import type { Config } from '../../src/config/config.ts';
import { eventually, json, nodeConfig, urlOf } from '../support/cluster.ts';
import {
  doctor,
  failures,
  listeningConfig,
  of,
  ORIGIN,
  secretFile,
  stoppedConfig,
  supernodeOf,
} from '../support/doctor-rig.ts';
import { SECRET } from '../support/swarm-rig.ts';

/** Of this machine, as another one reaches it. */
const OWN = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ address, internal }) => isIPv4(address) && !internal && !address.startsWith('169.254.'))?.address;
const skip = OWN === undefined && 'this machine has no address but those of loopback';
const ALL = { host: '0.0.0.0', port: 0 };

function shared(config: Config, cluster: Config['cluster']): Config {
  return { ...config, cluster, peer: { ...config.peer, listen: ALL } };
}

function portOf(service: Service): number {
  return Number(new URL(urlOf(service, 'pieces')).port);
}

/** Until each of the services is ready at that address, and at no other. */
async function readyAt(config: Config, host: string, services: readonly Service[]): Promise<void> {
  const expected = services.map((service) => `${host}:${portOf(service)}`).toSorted();
  await eventually(`they are ready at ${expected.join(', ')}`, async () => {
    const { answer } = await askSupernode(config, '/api/v1/peers', PeersAnswer);
    const ready = answer.peers.filter(({ state }) => state === 'ready').flatMap(({ addresses }) => addresses);
    return ready.toSorted().join() === expected.join();
  });
}

async function start(t: Test, starting: Promise<Service>): Promise<Service> {
  const service = await starting;
  t.teardown(() => service.stop());
  return service;
}

t.test('two proxies with the same settings fetch from each other', { skip }, async (t) => {
  const image = makeDemoImage([3 * MiB, 100_000]);
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const cluster = secretFile(t, 'join-secret', SECRET);
  const url = (await supernodeOf(t, cluster, '0.0.0.0')).replace('127.0.0.1', OWN!);
  const dir = t.testdir({});
  const settings = shared(nodeConfig({ dir, origin: origin.url, supernodes: [url] }), cluster);
  const [a, b] = [
    await start(
      t,
      startProxyService({ ...settings, store: { ...settings.store, dir: `${dir}/a` } }, { log: silentLogger }),
    ),
    await start(
      t,
      startProxyService({ ...settings, store: { ...settings.store, dir: `${dir}/b` } }, { log: silentLogger }),
    ),
  ];
  t.match(
    a.addresses.find(({ role }) => role === 'pieces'),
    { host: '0.0.0.0', port: Number },
    'as it listens',
  );
  await readyAt(settings, OWN!, [a, b]);
  await pullImage(urlOf(a, 'mirror'), 'demo/app', 'v1');
  t.equal(origin.bytesOut, image.size);
  await pullImage(urlOf(b, 'mirror'), 'demo/app', 'v1');
  t.equal(origin.bytesOut, image.size, 'the second takes nothing from the registry');

  const proxy = await json<ProxyStatusAnswer>(`${urlOf(a, 'api')}/api/v1/status`);
  const advertised = { addresses: [`${OWN}:${portOf(a)}`], code: '', message: '', todo: '' };
  t.match(proxy, { advertised });
  const nobody = { error: new OwnAddressUnknown({ listen: '', why: '' }) };
  const text = statusText({ proxy: { url: 'http://x', answer: proxy }, supernode: nobody });
  t.match(text, `\n  pieces     at ${OWN}:${portOf(a)}\n`);
  const dialBack = await fetch(`${urlOf(a, 'api')}/api/v1/dial-back`, { method: 'POST' });
  t.match(await dialBack.json(), { address: `${OWN}:${portOf(a)}`, error: null });

  const running = await doctor(listeningConfig(settings, a));
  t.same(failures(running), []);
  t.match(of(running, 'DIAL_BACK').seen, `has reached ${OWN}:${portOf(a)}`);
});

t.test('no proxy runs: doctor is reached where a proxy would be', { skip }, async (t) => {
  const cluster = secretFile(t, 'join-secret', SECRET);
  const url = (await supernodeOf(t, cluster, '0.0.0.0')).replace('127.0.0.1', OWN!);
  const stopped = await stoppedConfig(t, [url], { cluster });
  const { port } = stopped.peer.listen;
  const findings = await doctor({ ...stopped, peer: { ...stopped.peer, listen: { host: '0.0.0.0', port } } });
  t.match(of(findings, 'DIAL_BACK'), {
    status: 'ok',
    seen: new RegExp(`in its place; .* has reached ${OWN}:${port}$`),
  });
});

t.test('`hawker up` is where the others find its supernode; by loopback, at the only address', { skip }, async (t) => {
  const cluster = secretFile(t, 'join-secret', SECRET);
  const up = async (name: string, supernodes?: string[]) => {
    const config = shared(
      nodeConfig({ dir: `${t.testdirName}/${name}`, origin: ORIGIN, ...(supernodes && { supernodes }) }),
      cluster,
    );
    const service = await start(
      t,
      startUp({ ...config, supernode: { ...config.supernode, listen: ALL } }, { log: silentLogger }),
    );
    return { service, config: { ...config, supernodes: [urlOf(service, 'supernode')] } };
  };
  t.testdir({});
  const named = await up('named', [`http://${OWN}:0`]);
  await readyAt(named.config, OWN!, [named.service]);

  const near = await up('near', ['http://127.0.0.1:0']);
  const choice = ownHosts('0.0.0.0', { localAddress: undefined, interfaces: networkInterfaces() });
  if ('hosts' in choice) {
    await readyAt(near.config, choice.hosts[0]!, [near.service]);
    return;
  }
  await eventually('it is known why it has none', async () => {
    const { advertised } = await json<{ advertised: { code: string; message: string } }>(
      `${urlOf(near.service, 'api')}/api/v1/status`,
    );
    return advertised.code === 'OWN_ADDRESS_UNKNOWN' && advertised.message.includes(choice.why);
  });
});
