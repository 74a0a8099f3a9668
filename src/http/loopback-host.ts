import { isIP } from 'node:net';
import { plainAddress } from '../base/networks.ts';

/** For people. */
export const LOOPBACK_HOSTS = 'a loopback address: 127.0.0.1, [::1] or localhost';

/**
 * Whether a `Host` header names this machine's loopback. Where a listener is on loopback, no other may ask: it would be a page
 * in a browser on this machine, under a name that its author has made to point here (DNS rebinding).
 */
export function isLoopbackHost(host: string | undefined): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i.test(host ?? '');
}

/** Whether an address of a connection is this machine's loopback. */
export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = plainAddress(address);
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'));
}
