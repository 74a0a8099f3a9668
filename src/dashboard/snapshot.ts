import { REFUSALS } from '../p2p/protocol/errors.ts';
import type { Supernode } from '../p2p/supernode/supernode.ts';
import type { SwarmBlob } from '../p2p/supernode/swarm.ts';
import type { PeerView, RejectedView } from '../p2p/supernode/views.ts';
import type { BlobRow, PeerRow, RejectedRow, Snapshot } from './page/model.ts';

/** What a dashboard is told of: the API has all. */
export const MAX_SHOWN_PEERS = 5000;
export const MAX_SHOWN_BLOBS = 100;
export const MAX_SHOWN_DOWNLOADERS = 50;
export const MAX_SHOWN_PREHEATS = 20;

/** What the dashboard shows of a supernode. */
export function snapshotOf(supernode: Supernode): Snapshot {
  const { version, protocol, epoch, since, peers: counts, swarm } = supernode.status();
  const { peers, rejected } = supernode.peers();
  const { history, ...bytes } = supernode.traffic();
  const { blobs, transfers, leases } = swarm;
  return {
    version,
    protocol,
    epoch,
    since,
    counts,
    swarm: { blobs, transfers, leases },
    bytes,
    history,
    peers: peers.slice(0, MAX_SHOWN_PEERS).map(peerRow),
    blobs: supernode.activeBlobs(MAX_SHOWN_BLOBS).map(blobRow),
    rejected: rejected.map(rejectedRow),
    preheats: supernode
      .preheats()
      .slice(0, MAX_SHOWN_PREHEATS)
      .map((order) => ({
        id: order.id,
        image: order.image,
        state: order.state,
        at: order.at,
        counts: order.counts,
      })),
  };
}

/** Without what changes all the time. */
function peerRow({ id, instance, host, addresses, zone, version, state, reason, since, blobs }: PeerView): PeerRow {
  return { id, instance, host, addresses, zone, version, state, reason, since, blobs };
}

function rejectedRow({ address, host, peer, code, message, at, count }: RejectedView): RejectedRow {
  return { address, host, peer, code, message, todo: REFUSALS[code], at, count };
}

function blobRow({ digest, size, pieces, holders, downloading, downloaded }: SwarmBlob): BlobRow {
  const some = downloading.slice(0, MAX_SHOWN_DOWNLOADERS);
  return {
    digest,
    size,
    pieces,
    holders: holders.length,
    downloaders: downloading.length,
    downloading: some.map((peer, index) => [peer, downloaded[index]!]),
  };
}
