import { isIP } from 'node:net';
import {
  SupernodeNotHawker,
  SupernodeRefused,
  SupernodeSilent,
  SupernodeUnavailable,
} from '../p2p/peer/session-errors.ts';
import type { ApiTls } from '../app/cluster-tls.ts';
import { ask, isTlsNeeded, notRight, type Answer } from './ask.ts';
import { HTTP_MS } from './bounds.ts';
import type { Finding } from './check.ts';
import { failedBy } from './failed-by.ts';
import { ok } from './findings.ts';
import { roleIn } from './services.ts';
import { hostPort, portOf } from './supernode-tcp.ts';

const MEANING = 'proxies of this node get no session there, and go on without that supernode';
/** What load balancers answer for what is behind them. */
const UNAVAILABLE: ReadonlySet<number> = new Set([502, 503, 504]);

export interface HttpLook {
  readonly finding: Finding;
  /** The first address at which a supernode answers. */
  readonly ip: string | undefined;
  readonly version: string;
  /** As its status names it. */
  readonly protocol: string | undefined;
}

/** What this configuration has for a supernode's API. */
interface Known {
  readonly authorization: string | undefined;
  readonly tls: ApiTls | undefined;
}

/** Whether a supernode answers by HTTP at one of the addresses that took a connection. */
export async function checkHttp(url: URL, addresses: readonly string[], known: Known): Promise<HttpLook> {
  const about = { code: 'SUPERNODE_HTTP', title: `HTTP at ${hostPort(url)}` };
  const looks = await Promise.all(addresses.map((ip) => lookAt(url, ip, known)));
  const good = looks.find(({ fault }) => fault === undefined);
  const { ip, status, fault } = good ?? looks[0]!;
  const { version, protocol } = roleIn(status);
  if (fault) return { finding: failedBy(about, fault, MEANING), ip: undefined, version, protocol };
  const others = looks.flatMap(({ ip, fault }) => (fault ? [`; not so ${ip}: ${fault.message}`] : []));
  return {
    finding: ok(about, `/livez is ok; a supernode of Hawker ${version}${others.join('')}`),
    ip,
    version,
    protocol,
  };
}

async function lookAt(url: URL, ip: string, known: Known): Promise<{ ip: string; status: Answer; fault?: Error }> {
  const paths = ['/livez', '/api/v1/status'];
  const [livez, status] = await Promise.all(paths.map((path) => ask(url.origin + path, { ip, ...known })));
  const address = `${isIP(ip) === 6 ? `[${ip}]` : ip}:${portOf(url)}`;
  const fault = faultOf(address, livez!, status!);
  return { ip, status: status!, ...(fault && { fault }) };
}

function faultOf(address: string, livez: Answer, status: Answer): Error | undefined {
  if (livez.kind === 'silent') {
    return new SupernodeSilent({
      address,
      waitedMs: HTTP_MS,
      step: 'upgrade',
    });
  }
  const { code, message } = saidBy(livez);
  if (isTlsNeeded(livez)) return new SupernodeRefused({ code: 'TLS_NEEDED', message: notRight(livez), address });
  if (code === 'HOST_REFUSED') return new SupernodeRefused({ code, message, address });
  const { role } = roleIn(status);
  if (role === 'proxy') {
    return new SupernodeNotHawker({
      address,
      step: 'upgrade',
      why: "it is a proxy's own API (65003, say), and no supernode (6789)",
    });
  }
  if (livez.kind === 'http' && UNAVAILABLE.has(livez.status)) {
    return new SupernodeUnavailable({ address, status: livez.status });
  }
  if (livez.kind !== 'http' || livez.status !== 200)
    return new SupernodeNotHawker({ address, step: 'upgrade', why: notRight(livez) });
  if (role === 'supernode') return undefined;
  return new SupernodeNotHawker({
    address,
    step: 'upgrade',
    why: `/livez is answered, /api/v1/status is not: ${notRight(status)}`,
  });
}

function saidBy(answer: Answer): { code: string; message: string } {
  const { code, message } = ((answer.kind === 'http' && answer.json) || {}) as Partial<Record<string, unknown>>;
  return { code: typeof code === 'string' ? code : '', message: typeof message === 'string' ? message : '' };
}
