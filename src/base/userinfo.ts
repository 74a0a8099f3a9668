/**
 * `text` without a user and password before a host, in a URL (RFC 3986, 3.2.1) or in the name of a registry: people put them there.
 * `app:v1@sha256:…` is none.
 */
export function withoutUserinfo(text: string): string {
  return text.replaceAll(/(:\/\/)[^\s"'/@]*@|[^\s"'/@=]+:[^\s"'/@]+@(?!sha(?:256|512):)/g, '$1…@');
}
