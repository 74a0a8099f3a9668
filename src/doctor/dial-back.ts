import { bareHost } from '../base/bare-host.ts';
import { listenError } from '../app/errors.ts';
import { DialBackAnswer } from '../app/answers.ts';
import { OwnAddress } from '../app/own-address.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback, parseAddress } from '../config/formats.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import type { Membership } from '../p2p/protocol/membership.ts';
import { ask, notRight, read } from './ask.ts';
import { DIAL_BACK_MS } from './bounds.ts';
import type { Finding } from './check.ts';
import { DialBackFailed } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped, type Subject } from './findings.ts';
import type { ProxyLook } from './services.ts';
import { candidateAt, visitor } from './supernode-session.ts';
import type { SupernodeLook } from './supernodes.ts';
import { visitWithin } from './visit-within.ts';
import { WhoamiListener } from './whoami-listener.ts';

const MEANING =
  'such a peer is `unreachable`: it still downloads, from other nodes too, but nobody can fetch from it: it gives nothing';

export interface DialBackAround {
  readonly config: Config;
  readonly clock: Clock;
  readonly membership: Membership | undefined;
  readonly tls: ClusterTls | undefined;
  readonly proxy: ProxyLook;
  /** With which this node has, or could have, a session. */
  readonly supernode: SupernodeLook | undefined;
}

/**
 * Whether the supernode reaches this node's piece port: the running proxy asks it to try. With none running, a listener stands in
 * for it on `peer.listen`, and the doctor asks.
 */
export async function checkDialBack(around: DialBackAround): Promise<Finding> {
  const { proxy } = around;
  const about = { code: 'DIAL_BACK', title: "dial-back to this node's piece port" };
  if (proxy.status && proxy.status.peer === undefined)
    return skipped(about, 'the proxy here is alone: nobody is to reach it');
  if (proxy.status) return askProxy(about, around);
  if (!proxy.isDown) return skipped(about, `the proxy at ${proxy.url} does not answer, so it cannot ask`);
  return standIn(about, around);
}

async function askProxy(about: Subject, { proxy, config }: DialBackAround): Promise<Finding> {
  const answer = await ask(`${proxy.url}/api/v1/dial-back`, { method: 'POST', timeoutMs: DIAL_BACK_MS });
  if (answer.kind === 'http' && answer.status === 409) {
    const { message } = (answer.json ?? {}) as { message?: unknown };
    return skipped(about, `the proxy cannot ask: ${typeof message === 'string' ? message : 'it has no session'}`);
  }
  const result = read(answer, DialBackAnswer);
  if (!result)
    return skipped(about, `the proxy at ${proxy.url} does not do it (an older version?): ${notRight(answer)}`);
  const { supernode, address, error } = result;
  const by = supernode ?? 'the supernode';
  if (address !== null) return ok(about, `${by} has reached ${address}`);
  return failedBy(about, failure(by, error ?? 'it does not say why', config), MEANING);
}

async function standIn(about: Subject, around: DialBackAround): Promise<Finding> {
  const { config, supernode, membership, tls, clock } = around;
  if (supernode?.ip === undefined || !membership) return skipped(about, 'no supernode could be asked (above)');
  const self = visitor([]);
  const listener = new WhoamiListener(self, membership, tls);
  try {
    const port = await listener.listen(config.peer.listen);
    const { advertise, listen } = config.peer;
    const own = new OwnAddress({ listen: { host: listen.host, port }, advertise });
    const candidate = await candidateAt(supernode.url, supernode.ip, clock, tls);
    const described = (localAddress: string | undefined) => ({ ...self, addresses: own.of(localAddress) });
    const visiting = { self: described, membership, clock };
    const { dialBack } = await visitWithin(DIAL_BACK_MS, candidate, visiting);
    const how = 'no proxy runs here, so doctor listened in its place';
    if (dialBack.address !== undefined)
      return ok(about, `${how}; ${supernode.url.origin} has reached ${dialBack.address}`);
    return failedBy(
      about,
      failure(supernode.url.origin, `${own.fault?.message ?? dialBack.error} (${how})`, config),
      MEANING,
    );
  } catch (error) {
    const address = formatAddress(config.peer.listen);
    const notHere = listenError(error, address, 'peer.listen');
    if (notHere) return failedBy(about, notHere, 'a proxy could not listen there either, and would not start');
    return skipped(about, `no session with ${supernode.url.host}: ${describeError(error)}`);
  } finally {
    await listener.close();
  }
}

function failure(by: string, error: string, { peer, supernodes }: Config): DialBackFailed {
  const { advertise, listen } = peer;
  const hosts = advertise.length > 0 ? advertise.map((text) => parseAddress(text)!.host) : [listen.host];
  const isElsewhere = supernodes.some((url) => !isLoopback(bareHost(new URL(url).hostname)));
  return new DialBackFailed({ by, error, port: listen.port, onLoopback: isElsewhere && hosts.every(isLoopback) });
}
type DialBackFailed = InstanceType<typeof DialBackFailed>;
