import { once } from 'node:events';
import { connect, isIP } from 'node:net';
import { codeOf, describeError } from '../base/errors.ts';
import { formatTime } from '../base/units.ts';
import { SupernodeTimeout, SupernodeUnreachable } from '../p2p/peer/session-errors.ts';
import { CONNECT_MS } from './bounds.ts';
import type { Finding } from './check.ts';
import { failed, ok, type Subject } from './findings.ts';

/** How a connection fails, as far as the causes differ. */
type Failure = 'refused' | 'dropped' | 'no route' | 'not allowed' | 'other';

interface Dial {
  readonly address: string;
  readonly failure?: { readonly kind: Failure; readonly why: string };
}

const KINDS: Readonly<Record<string, Failure>> = {
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'dropped',
  EHOSTUNREACH: 'no route',
  ENETUNREACH: 'no route',
  EADDRNOTAVAIL: 'no route',
  EACCES: 'not allowed',
  EPERM: 'not allowed',
};

/** What each failure means, and what to do; `port` is the supernode's. */
const CAUSES: Readonly<Record<Failure, { meaning: string; todo: (port: number) => string }>> = {
  refused: {
    meaning: 'that machine is there, and nothing listens on the port (or a firewall rejects it)',
    todo: (port) =>
      `on that machine: see that a supernode runs, and that it listens on this address and not on 127.0.0.1 alone (\`ss -ltn\`, supernode.listen); that no firewall rejects TCP ${port}; here: that \`supernodes\` names the right port`,
  },
  dropped: {
    meaning:
      'something drops the packets: a firewall on the way, or that machine is off, or the address is not its own any more',
    todo: (port) =>
      `let TCP ${port} through from this node to it (firewall, security group, network policy), and see that the machine is up`,
  },
  'no route': {
    meaning:
      'this node knows no way to that address: the machine is off, the route is missing, or a firewall answers so',
    todo: (port) =>
      `see \`ip route get ADDRESS\`, that the machine is up, and that no firewall on the way rejects TCP ${port}`,
  },
  'not allowed': {
    meaning: 'this node itself does not let the connection out',
    todo: (port) =>
      `see this node's own firewall for outgoing TCP ${port} (\`iptables -S OUTPUT\`, \`nft list ruleset\`)`,
  },
  other: {
    meaning: 'the connection fails in a way that is not a usual one',
    todo: (port) => `try it by hand: \`nc -vz ADDRESS ${port}\``,
  },
};

/** A TCP connection to each address of a supernode; those that took it. */
export async function checkTcp(
  url: URL,
  addresses: readonly string[],
): Promise<{ finding: Finding; open: readonly string[] }> {
  const port = portOf(url);
  const about: Subject = { code: 'SUPERNODE_TCP', title: `TCP to ${hostPort(url)}` };
  const dials = await Promise.all(addresses.map((address) => dial(address, port)));
  const open = dials.flatMap(({ address, failure }) => (failure ? [] : [address]));
  const seen = dials
    .map(({ address, failure }) => `${shown(address, port)} ${failure ? failure.why : 'connected'}`)
    .join('; ');
  if (open.length > 0) return { finding: ok(about, seen), open };
  const kinds = [...new Set(dials.map(({ failure }) => failure!.kind))];
  const meaning = kinds.map((kind) => CAUSES[kind].meaning).join('; ');
  const todo = kinds.map((kind) => CAUSES[kind].todo(port)).join('; ');
  return {
    finding: failed(about, {
      seen,
      meaning,
      todo,
      error: kinds.join() === 'dropped' ? SupernodeTimeout.code : SupernodeUnreachable.code,
    }),
    open,
  };
}

export function portOf({ port, protocol }: URL): number {
  return Number(port || (protocol === 'https:' ? 443 : 80));
}

/** With its port, where the URL leaves out the usual one too. */
export function hostPort(url: URL): string {
  return `${url.hostname}:${portOf(url)}`;
}

function shown(address: string, port: number): string {
  return isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

async function dial(address: string, port: number): Promise<Dial> {
  const socket = connect({ host: address, port });
  // What comes after its end is nobody's.
  socket.on('error', () => undefined);
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_MS) });
    return { address };
  } catch (error) {
    if (codeOf(error) === 'ABORT_ERR') {
      return { address, failure: { kind: 'dropped', why: `no answer within ${formatTime(CONNECT_MS)}` } };
    }
    const kind = KINDS[codeOf(error)] ?? 'other';
    const whys: Partial<Record<Failure, string>> = { refused: 'refused', 'no route': `no route (${codeOf(error)})` };
    return { address, failure: { kind, why: whys[kind] ?? describeError(error) } };
  } finally {
    socket.destroy();
  }
}
