import { isIP } from 'node:net';
import { bareHost } from '../base/bare-host.ts';
import { systemClock } from '../base/clock.ts';
import { codeAndTodo, describeError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback } from '../config/formats.ts';
import { networkCandidates, type FindCandidates } from '../p2p/peer/supernode-dial.ts';
import { socketPair } from '../p2p/protocol/socket.ts';
import type { Supernode } from '../p2p/supernode/supernode.ts';
import { ProcessAudit } from './audit.ts';
import { startClusterTls } from './cluster-tls.ts';
import { Lifecycle } from './lifecycle.ts';
import { loadMembership, reloadMembership } from './membership.ts';
import { isOwn } from './own-url.ts';
import { Peer } from './peer.ts';
import { startProxy } from './proxy.ts';
import { Reloads } from './reloads.ts';
import type { Service, ServiceDeps } from './service.ts';
import { startSupernodeRole } from './supernode.ts';

/**
 * Starts everything that a node needs in one process: a supernode, and a proxy whose session with it stays in memory. Rejects,
 * with all that was started stopped again, when a part cannot start.
 */
export async function startUp(config: Config, { log, sockets }: ServiceDeps): Promise<Service> {
  const clock = systemClock;
  const reloads = new Reloads();
  const lifecycle = new Lifecycle({ log, clock });
  const audit = await ProcessAudit.start(config, { log, clock, lifecycle, reloads });
  const tls = await startClusterTls(config, { log, lifecycle, reloads });
  const membership = await loadMembership(config);
  reloadMembership(membership, reloads, log);
  const { listen } = config.supernode;
  // Nobody but this process' own proxy can have been reading anything under an earlier life of a supernode on loopback.
  const settleMs = isLoopback(listen.host) ? 0 : undefined;
  const { supernode, address } = await startSupernodeRole(config, {
    log,
    lifecycle,
    audit,
    membership,
    reloads,
    tls,
    sockets,
    settleMs,
    // The mirror of this node goes on without it.
    onGivingUp: (error) => log.error(codeAndTodo(error), describeError(error)),
  });
  const own = `${tls ? 'https' : 'http'}://${formatAddress(address)}`;
  const supernodes = config.supernodes.map((url) => (isOwn(url, listen) ? own : url));
  if (!supernodes.includes(own)) {
    log.warn(
      {
        code: 'SUPERNODE_NOT_LISTED',
        supernodes,
        own,
        todo: 'name the other supernode and run `hawker proxy` here, or leave `supernodes` out',
      },
      'the supernode of this process is not among `supernodes`: this node joins another one, and nobody is told of its own',
    );
  }
  const near = { url: own, supernode, localAddress: reachedAt(config.supernodes.filter((url) => isOwn(url, listen))) };
  const candidates = inMemoryFirst(near, networkCandidates(clock, undefined, tls));
  const addresses = await startProxy(config, {
    log,
    lifecycle,
    reloads,
    audit,
    sockets,
    cluster: (parts) => {
      const around = { log, lifecycle, reloads, audit, membership, tls, sockets, candidates, supernodes };
      return Peer.create(config, { ...around, ...parts });
    },
  });
  return { addresses: [...addresses, address], reload: (next) => reloads.run(next), stop: () => lifecycle.stop() };
}

/** Of this machine, by what its own supernode is named: a connection there would have it at both ends. Undefined: it has no such name. */
function reachedAt(urls: readonly string[]): string | undefined {
  return urls.map((url) => bareHost(new URL(url).hostname)).find((host) => isIP(host) !== 0 && !isLoopback(host));
}

interface Near {
  readonly url: string;
  readonly supernode: Supernode;
  readonly localAddress: string | undefined;
}

/** The supernode of this process is reached without a socket; any other one over the network. */
function inMemoryFirst({ url: own, supernode, localAddress }: Near, others: FindCandidates): FindCandidates {
  return async (url) => {
    if (url !== own) return others(url);
    const open = async () => {
      const [near, far] = socketPair(localAddress);
      supernode.accept(far, 'this process');
      return near;
    };
    return [{ address: 'this process', open }];
  };
}
