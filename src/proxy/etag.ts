/** The strong entity tag of what has this digest; quoted, as RFC 9110 has it. */
export function etagOf(digest: string): string {
  return `"${digest}"`;
}

/** Whether `If-None-Match` names the digest; some clients send it without quotes, and so does docker's own registry. */
export function noneMatch(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((element) => {
    const tag = element.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === etagOf(digest);
  });
}

/** Whether a `Range` is to be honoured: without `If-Range`, or when that is this very entity (curl -C -, aria2). */
export function rangeApplies(ifRange: string | undefined, digest: string): boolean {
  return ifRange === undefined || ifRange.trim() === etagOf(digest);
}
