import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { bareHost } from '../base/bare-host.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { formatTime } from '../base/units.ts';
import { SupernodeUnresolved } from '../p2p/peer/session-errors.ts';
import { MOST_ADDRESSES, RESOLVE_MS } from './bounds.ts';
import type { Finding } from './check.ts';
import { failedBy } from './failed-by.ts';
import { ok } from './findings.ts';

export type Resolve = (host: string) => Promise<readonly string[]>;

/** All addresses of a name, as proxies look it up (`/etc/hosts`, then DNS). */
export const resolveAll: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

/** The name in a supernode's URL, to its addresses; none where that fails. */
export async function checkName(
  url: URL,
  { clock, resolve }: { clock: Clock; resolve: Resolve },
): Promise<{ finding: Finding; addresses: readonly string[] }> {
  const host = bareHost(url.hostname);
  const about = { code: 'SUPERNODE_NAME', title: `name of ${url.host}` };
  if (isIP(host) > 0) return { finding: ok(about, 'it is an address: nothing to look up'), addresses: [host] };
  const from = clock.monotonic();
  const late = new AbortController();
  try {
    const timeout = clock.sleep(RESOLVE_MS, late.signal).then(() => {
      throw new Error(`no answer within ${formatTime(RESOLVE_MS)}`);
    });
    const found = [...new Set(await Promise.race([resolve(host), timeout]))];
    if (found.length === 0) throw new Error('the answer is empty');
    const took = formatTime(clock.monotonic() - from);
    const more = found.length > MOST_ADDRESSES ? ` (the first ${MOST_ADDRESSES} are tried)` : '';
    return {
      finding: ok(about, `${host} is ${found.join(', ')} (${took})${more}`),
      addresses: found.slice(0, MOST_ADDRESSES),
    };
  } catch (cause) {
    const error = new SupernodeUnresolved({ host, why: describeError(cause) }, { cause });
    const meaning =
      'proxies of this node cannot find that supernode; they try again, and take what the name leads to then';
    return { finding: failedBy(about, error, meaning), addresses: [] };
  } finally {
    late.abort();
  }
}
