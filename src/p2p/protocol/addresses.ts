import { isIP } from 'node:net';

/** The parts of `host:port` (`[::1]:65002` for IPv6); undefined where that is not its form. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([\w.-]{1,253})):(\d{1,5})$/.exec(address);
  if (!match) return undefined;
  const [, ipv6, name, digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? { host: ipv6, port } : undefined;
  return { host: name!, port };
}

/** Why nobody can use an advertised address; undefined where it may be good. */
export function faultOfAddress(address: string): string | undefined {
  const parts = splitAddress(address);
  if (!parts) return `"${address}" is not of the form host:port`;
  const isUnspecified = /^(?:0\.0\.0\.0|[0:.]+)$/.test(parts.host);
  return isUnspecified ? `${address} is no address that others can connect to` : undefined;
}
