/** What the part of the address behind `#` asks for. */
export type Route =
  | { readonly kind: 'overview' }
  | { readonly kind: 'peer'; readonly id: string }
  | { readonly kind: 'blob'; readonly digest: string };

export function routeOf(hash: string): Route {
  const [, kind, name] = /^#\/(peers|blobs)\/(.+)$/.exec(hash) ?? [];
  const plain = name === undefined ? undefined : decoded(name);
  if (plain === undefined) return { kind: 'overview' };
  return kind === 'peers' ? { kind: 'peer', id: plain } : { kind: 'blob', digest: plain };
}

export const peerLink = (id: string): string => `#/peers/${encodeURIComponent(id)}`;
export const blobLink = (digest: string): string => `#/blobs/${encodeURIComponent(digest)}`;

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
