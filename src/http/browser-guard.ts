import type { IncomingMessage } from 'node:http';
import { hostname } from 'node:os';
import { isLoopbackAddress, isLoopbackHost } from './loopback-host.ts';

/** Why a request is taken for one that a web page makes, without or against the will of whoever has opened it. */
export type Foreign = { readonly by: 'host'; readonly host: string } | { readonly by: 'browser' };

/**
 * Whether a web page may be behind a request to something that only programs ask. Browsers name the page's origin, or at least
 * that it is another one (Fetch Metadata); no client of registries does. Where the page's author has made a name of their own
 * point to this machine's loopback (DNS rebinding), a browser that is not told that this is HTTPS names neither: so what comes in over loopback must ask for a
 * loopback address, for this machine's own name, or for one of `names`. Elsewhere the name is the operator's business. A request
 * without a host is of HTTP/1.0, which browsers do not speak.
 */
export function foreignPage(
  { headers, socket }: IncomingMessage,
  url: string,
  names: readonly string[],
): Foreign | undefined {
  const site = headers['sec-fetch-site'];
  if (headers.origin !== undefined || (site !== undefined && site !== 'none')) return { by: 'browser' };
  if (!isLoopbackAddress(socket.localAddress)) return undefined;
  // Of an absolute form that of the URL counts (RFC 9112, section 3.2.2).
  const inUrl = /^https?:\/\/([^/?#]*)/i.exec(url)?.[1];
  for (const host of [headers.host, inUrl]) {
    if (host !== undefined && !isLoopbackHost(host) && !isOneOf(host, names)) return { by: 'host', host };
  }
  return undefined;
}

function isOneOf(host: string, names: readonly string[]): boolean {
  const bare = host.replace(/:\d{1,5}$/, '').toLowerCase();
  return bare === hostname().toLowerCase() || names.some((name) => name.toLowerCase() === bare);
}
