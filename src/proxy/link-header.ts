/**
 * Rewrites a `Link` header of an origin (the next page of a list) for a client that reads through the mirror: relative, under
 * the client's own path and `ns`. Links that lead out of the repository are dropped: they would lead around the mirror.
 *
 * @param base the URL that was asked at the origin
 * @param originPath path of the repository at the origin, `/v2/library/alpine`
 * @param clientPath the same as the client spells it, `/v2/docker.io/alpine`
 */
export function rewriteLink(
  header: string,
  options: { base: URL; originPath: string; clientPath: string; ns: string | undefined },
): string | undefined {
  const links: string[] = [];
  for (const [, target, parameters] of header.matchAll(/<([^<>]*)>([^<]*)/g) as Iterable<string[]>) {
    const rewritten = rewriteTarget(target!, options);
    if (rewritten !== undefined) links.push(`<${rewritten}>${parameters!.replace(/[,\s]+$/, '')}`);
  }
  return links.length > 0 ? links.join(', ') : undefined;
}

function rewriteTarget(
  target: string,
  { base, originPath, clientPath, ns }: { base: URL; originPath: string; clientPath: string; ns: string | undefined },
): string | undefined {
  if (!URL.canParse(target, base.href)) return undefined;
  const url = new URL(target, base);
  if (url.host !== base.host || !url.pathname.startsWith(`${originPath}/`)) return undefined;
  // As it came, but for `ns`: continuation tokens are opaque.
  const others = url.search
    .slice(1)
    .split('&')
    .filter((pair) => pair !== '' && !/^ns(?:=|$)/.test(pair));
  const query = [...others, ...(ns === undefined ? [] : [`ns=${encodeURIComponent(ns)}`])].join('&');
  return `${clientPath}${url.pathname.slice(originPath.length)}${query === '' ? '' : `?${query}`}`;
}
