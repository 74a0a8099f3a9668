import { hostname, networkInterfaces } from 'node:os';
import { bareHost } from '../base/bare-host.ts';
import { isLoopback, isUnspecified, type Address } from '../config/formats.ts';

/** Whether a URL of the list leads to what listens here: by its port, and one of this machine's own names or addresses. */
export function isOwn(url: string, listen: Address): boolean {
  const { hostname: host, port, protocol } = new URL(url);
  const name = bareHost(host);
  if (Number(port || (protocol === 'https:' ? 443 : 80)) !== listen.port) return false;
  if (name === listen.host || (isLoopback(name) && isLoopback(listen.host))) return true;
  if (!isUnspecified(listen.host)) return false;
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return isLoopback(name) || name === hostname() || addresses.includes(name);
}
