/** Of an id, at least; more where ids begin alike. */
const SHORT_ID_CHARACTERS = 8;
/** `sha256:` and 12 more, as docker shows it. */
const SHORT_DIGEST_CHARACTERS = 19;

/** The beginnings of ids that tell them apart, by id. */
export function shortIds(ids: Iterable<string>): ReadonlyMap<string, string> {
  const all = [...new Set(ids)];
  const longest = all.reduce((most, id) => Math.max(most, id.length), 0);
  let length = SHORT_ID_CHARACTERS;
  while (length < longest && new Set(all.map((id) => id.slice(0, length))).size < all.length) length += 1;
  return new Map(all.map((id) => [id, id.slice(0, length)]));
}

/** What to call peers, by id: their hosts, where each host is one peer only, else the beginnings of their ids. */
export function peerNames(
  peers: readonly { readonly id: string; readonly host: string }[],
): ReadonlyMap<string, string> {
  const hosts = new Set(peers.map(({ host }) => host));
  if (hosts.size < peers.length || hosts.has('')) return shortIds(peers.map(({ id }) => id));
  return new Map(peers.map(({ id, host }) => [id, host]));
}

/** The order in which people look for names: node-2 before node-10. */
export function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

export function shortDigest(digest: string): string {
  return digest.slice(0, SHORT_DIGEST_CHARACTERS);
}
