import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startSupernode } from '../../src/app/supernode-service.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Config } from '../../src/config/config.ts';
import type { Around, Finding } from '../../src/doctor/check.ts';
import { checkCluster } from '../../src/doctor/cluster.ts';
import { eventually, json, nodeConfig, urlOf } from './cluster.ts';
import { closedPort } from './odd-servers.ts';

export const ORIGIN = 'http://127.0.0.1:1';

/** Variables of a node whose one registry is on loopback, so that nothing else is asked. */
export const NO_PUBLIC_REGISTRY = {
  HAWKER_PROXY_DEFAULT_UPSTREAM: 'demo.test',
  HAWKER_UPSTREAMS: JSON.stringify({ '*': false, 'demo.test': { url: ORIGIN } }),
};

/** What the checks of the cluster find on a node with this configuration. */
export const doctor = (config: Config): Promise<Finding[]> => checkCluster(aroundOf(config));

/** What a check has around it on a node with this configuration. */
function aroundOf(config: Config): Around {
  return { config, clock: systemClock, root: '/', environment: {} };
}

/** The configuration that says where the service really listens. */
export function listeningConfig(config: Config, service: Service): Config {
  const at = (role: string) => {
    const address = service.addresses.find((each) => each.role === role);
    return address && { listen: { host: address.host, port: address.port } };
  };
  return {
    ...config,
    proxy: { ...config.proxy, ...at('mirror') },
    peer: { ...config.peer, ...at('pieces') },
    api: { ...config.api, ...at('api') },
    supernode: { ...config.supernode, ...at('supernode') },
  };
}

/** A proxy in this process; the configuration with its real ports. */
export async function startNode(t: Test, config: Config): Promise<Config> {
  const service = await startProxyService(config, { log: silentLogger });
  t.teardown(() => service.stop());
  return listeningConfig(config, service);
}

/** The findings of one check; there is to be one at least. */
export function of(findings: readonly Finding[], code: string): Finding {
  const found = findings.find((finding) => finding.code === code);
  if (!found) throw new Error(`nothing was found under ${code}, but ${findings.map((each) => each.code).join(' ')}`);
  return found;
}

/** Codes of the checks that failed, in their order. */
export function failures(findings: readonly Finding[]): string[] {
  return findings.filter(({ status }) => status === 'failed').map(({ code }) => code);
}

/** A configuration whose every port is closed, for a node that does not run. */
export async function stoppedConfig(t: Test, supernodes: string[], more: Partial<Config> = {}): Promise<Config> {
  const listen = async () => ({ listen: { host: '127.0.0.1', port: await closedPort() } });
  const base = nodeConfig({ dir: t.testdir({}), origin: ORIGIN, supernodes });
  const [proxy, api, peer, supernode] = [await listen(), await listen(), await listen(), await listen()];
  return {
    ...base,
    proxy: { ...base.proxy, ...proxy },
    api,
    peer: { ...base.peer, ...peer },
    supernode: { ...base.supernode, ...supernode },
    ...more,
  };
}

export async function supernodeOf(t: Test, cluster?: Config['cluster'], host = '127.0.0.1'): Promise<string> {
  const base = nodeConfig({ dir: '/nowhere', origin: ORIGIN });
  const listen = { ...base.supernode.listen, host };
  const config = { ...base, supernode: { ...base.supernode, listen }, cluster: cluster ?? base.cluster };
  const supernode = await startSupernode(config, { log: silentLogger });
  t.teardown(() => supernode.stop());
  return urlOf(supernode, 'supernode').replace('0.0.0.0', '127.0.0.1');
}

export function secretFile(t: Test, name: string, secret: string): Config['cluster'] {
  const directory = mkdtempSync(join(tmpdir(), 'hawker-doctor-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, name);
  writeFileSync(path, `${secret}\n`, { mode: 0o600 });
  return { secretFile: path, operatorTokenFile: undefined };
}

/** Until the proxy of that configuration says so of its session. */
export async function sessionIs(config: Config, code: string): Promise<void> {
  const url = `http://127.0.0.1:${config.api.listen.port}/api/v1/status`;
  await eventually(`the session says ${code || 'that it is connected'}`, async () => {
    const { supernodes } = await json<{ supernodes: { code: string; state: string }[] }>(url);
    return supernodes.some((each) => each.code === code && (code !== '' || each.state === 'connected'));
  });
}
