import { once } from 'node:events';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { bareHost } from '../base/bare-host.ts';
import { codeOf, describeError } from '../base/errors.ts';
import { SupernodeSilent, SupernodeTls } from '../p2p/peer/session-errors.ts';
import { tlsFault, type ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import { HTTP_MS } from './bounds.ts';
import type { Finding } from './check.ts';
import { failedBy } from './failed-by.ts';
import { ok, type Subject } from './findings.ts';
import { hostPort, portOf } from './supernode-tcp.ts';

const MEANING = 'proxies of this node get no session there, and go on without that supernode';

type Handshake = { readonly ip: string } & ({ readonly seen: string } | { readonly fault: Error });

/** A TLS handshake with each address of a supernode that took a connection; those that came through it. */
export async function checkTls(
  url: URL,
  addresses: readonly string[],
  tls: ClusterTls | undefined,
): Promise<{ finding: Finding; open: readonly string[] }> {
  const about: Subject = { code: 'SUPERNODE_HANDSHAKE', title: `TLS with ${hostPort(url)}` };
  const tries = await Promise.all(addresses.map((ip) => shake(url, ip, tls)));
  const good = tries.find((each) => 'seen' in each);
  const faults = tries.flatMap((each) => ('fault' in each ? [each.fault] : []));
  if (!good || !('seen' in good)) return { finding: failedBy(about, faults[0], MEANING), open: [] };
  const others = faults.map(({ message }) => `; ${message}`).join('');
  const open = tries.flatMap((each) => ('seen' in each ? [each.ip] : []));
  return { finding: ok(about, good.seen + others), open };
}

async function shake(url: URL, ip: string, tls: ClusterTls | undefined): Promise<Handshake> {
  const port = portOf(url);
  const address = `${isIP(ip) === 6 ? `[${ip}]` : ip}:${port}`;
  const name = bareHost(url.hostname);
  const socket = connect({
    host: ip,
    port,
    ...(isIP(name) === 0 && { servername: name }),
    ...(tls && { secureContext: tls.client }),
  });
  socket.on('error', () => undefined);
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(HTTP_MS) });
    const { valid_to: until } = socket.getPeerCertificate();
    const subject = socket.getPeerX509Certificate()?.subject.replaceAll('\n', ', ');
    const version = socket.getProtocol();
    // In order: a handshake that is broken off is listed there as one that failed.
    socket.resume().end();
    await once(socket, 'close', { signal: AbortSignal.timeout(HTTP_MS) }).catch(() => undefined);
    return { ip, seen: `${version}; its certificate ${subject} is good until ${until}` };
  } catch (error) {
    if (codeOf(error) === 'ABORT_ERR') {
      return { ip, fault: new SupernodeSilent({ address, waitedMs: HTTP_MS, step: 'tls' }) };
    }
    return { ip, fault: new SupernodeTls({ address, why: tlsFault(error) ?? describeError(error) }, { cause: error }) };
  } finally {
    socket.destroy();
  }
}
