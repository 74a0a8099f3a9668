import { isIPv6 } from 'node:net';

/** An address as people know it: one of IPv4 in the clothes of IPv6, as Node's dual-stack sockets have it, is one of IPv4. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

/** What an address is counted by: a host of IPv6 has 2^64 of them, its network's first half names it (`2001:db8:0:1::/64`). */
export function networkOf(address: string): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.replace(/%.*$/, '').split('::');
  const groups = (part: string | undefined) => (part === undefined || part === '' ? [] : part.split(':'));
  const front = groups(head);
  const back = groups(tail);
  const gap = tail === undefined ? 0 : 8 - front.length - back.length;
  const all = [...front, ...Array.from({ length: Math.max(0, gap) }, () => '0'), ...back];
  return `${all.slice(0, 4).join(':')}::/64`;
}
