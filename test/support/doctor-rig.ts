import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Config } from '../../src/config/config.ts';
import type { Around, Finding } from '../../src/doctor/check.ts';
import type { Test } from 'tap';

/** What a check has around it on a node with this configuration. */
export function aroundOf(config: Config): Around {
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
