import { BlockList, isIP, isIPv6 } from 'node:net';

/**
 * What no public server has for an address: the IANA special-purpose registries (RFC 6890 and its updates), multicast and
 * the reserved rest. 192.88.99.0/24, 2001::/23 (Teredo, ORCHID) and 2002::/16 (6to4) lead to addresses that cannot be seen here.
 */
const SPECIAL_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
const SPECIAL_V6 = [
  '::/96',
  '::ffff:0:0:0/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  '5f00::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
];
/** Prefixes of 96 bits that stand before an IPv4 address: IPv4-mapped (RFC 4291), and NAT64, which IPv6-only networks live on (RFC 6052). */
const MAPPED = [0, 0, 0, 0, 0, 0xffff];
const NAT64 = [0x64, 0xff9b, 0, 0, 0, 0];

const special = listOf([...SPECIAL_V4, ...SPECIAL_V6]);

/** Whether an address is one that only this machine or its own network knows, or none at all. `address` is an IP address. */
export function isSpecialAddress(address: string): boolean {
  return listHas(special, address);
}

/** A list of single addresses and CIDRs; throws a RangeError for what is neither. */
export function listOf(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    if (isIP(address) === 0) throw new RangeError(`${entry} is neither an IP address nor a CIDR`);
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** Whether the list holds an address; an IPv4 address inside an IPv6 one counts as itself. */
export function listHas(list: BlockList, address: string): boolean {
  const plain = address.replace(/%.*$/, '');
  const inner = isIPv6(plain) ? embeddedV4(plain) : undefined;
  if (inner !== undefined) return list.check(inner, 'ipv4');
  return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}

function embeddedV4(address: string): string | undefined {
  const words = wordsOf(address);
  const hasPrefix = (prefix: readonly number[]) => prefix.every((word, i) => words[i] === word);
  if (!hasPrefix(MAPPED) && !hasPrefix(NAT64)) return undefined;
  const [high, low] = [words[6]!, words[7]!];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** The eight 16-bit words of a valid IPv6 address. */
function wordsOf(address: string): number[] {
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
    [((Number(a) << 8) | Number(b)).toString(16), ((Number(c) << 8) | Number(d)).toString(16)].join(':'),
  );
  const [head = '', tail] = hex.split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const front = words(head);
  if (tail === undefined) return front;
  const back = words(tail);
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
}
