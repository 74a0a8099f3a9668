import { formatSize } from '../base/units.ts';
import type { ListeningAddress } from '../app/service.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, nearOf } from '../config/formats.ts';

/**
 * What a person sees on the terminal when Hawker is up: where it is, what to try, where data lies, how others join, and the file that
 * its settings are from. Under ten lines. What it says follows from what has started.
 */
export function banner(version: string, config: Config, addresses: readonly ListeningAddress[], file?: string): string {
  const of = (role: string) => addresses.filter((address) => address.role === role);
  const mirrors = of('mirror');
  const pieces = of('pieces').map((address) => `${formatAddress(address)} (pieces)`);
  const supernodes = of('supernode').map(
    (address) => `${urlOf(address, config.cluster.tls !== undefined)} (supernode)`,
  );
  const asked = pieces.length > 0 && supernodes.length === 0 && config.supernodes.length > 0;
  const swarm = [...supernodes, ...(asked ? [`looks for ${config.supernodes.join(', ')}`] : []), ...pieces];
  return [
    `Hawker ${version} is up${file === undefined ? '' : ` (settings: ${file})`}`,
    ...row('mirror', mirrors.map(shown)),
    ...row('swarm', swarm),
    ...row('api', of('api').map(shown)),
    ...(mirrors.length > 0 ? mirrorLines(config, mirrors) : []),
    ...row('look', supernodes.length > 0 ? [`${dashboardUrl(config, of('supernode')[0]!)}   (the dashboard)`] : []),
    ...row('join', supernodes.length > 0 ? ['hawker token   (shows how another node joins)'] : []),
    '',
  ].join('\n');
}

function row(name: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`  ${name.padEnd(6)}  ${items.join(', ')}`];
}

function mirrorLines({ store }: Config, mirrors: readonly ListeningAddress[]): string[] {
  const { host, port, tls } = mirrors.find(({ upstream }) => upstream === undefined) ?? mirrors[0]!;
  const near = formatAddress(nearOf({ host, port }));
  const curl = tls === true ? 'curl -ik https' : 'curl -i http';
  return [
    ...row('data', [`${store.dir} (up to ${formatSize(store.quotaBytes)})`]),
    ...row('try', [`docker pull ${near}/docker.io/library/alpine   (or: hawker demo)`]),
    ...row('', [`${curl}://${near}/v2/docker.io/library/alpine/manifests/latest`]),
  ];
}

/** For a browser on this machine. */
function dashboardUrl({ cluster }: Config, { host, port }: ListeningAddress): string {
  return `${cluster.tls === undefined ? 'http' : 'https'}://${formatAddress(nearOf({ host, port }))}/`;
}

function shown(address: ListeningAddress): string {
  const bound = address.upstream === undefined ? '' : ` (${address.upstream})`;
  return `${urlOf(address)}${bound}`;
}

function urlOf(address: ListeningAddress, isTls = address.tls === true): string {
  return `${isTls ? 'https' : 'http'}://${formatAddress(address)}`;
}
