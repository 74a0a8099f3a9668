import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import type { Metrics } from '../../base/metrics.ts';
import { Pieces } from '../../base/pieces.ts';
import type { PeerAddress, PieceClient } from './piece-client.ts';
import type { PieceSource } from './piece-source.ts';

/** A peer, as a source of one blob's pieces; named by its id. `peerFailureOf` tells what an error says of it. */
export function peerSource(
  peer: PeerAddress,
  digest: Digest,
  deps: { readonly client: PieceClient; readonly clock: Clock; readonly metrics: Metrics },
): PieceSource {
  const { client, clock, metrics } = deps;
  return {
    kind: 'peer',
    name: peer.peer,
    async read(range, sink, signal) {
      const start = clock.monotonic();
      const total = await client.fetch(peer, digest, range, sink, signal);
      const pieces = new Pieces(total);
      const end = Math.min(range.end ?? total, total);
      const count = pieces.at(end - 1) - pieces.at(range.start) + 1;
      const seconds = (clock.monotonic() - start) / 1000 / count;
      for (let i = 0; i < count; i += 1) metrics.pieceDuration.observe({ source: 'peers' }, seconds);
    },
  };
}
