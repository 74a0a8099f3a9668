import t from 'tap';
import { systemClock } from '../../../src/base/clock.ts';
import { digestOf } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import { peerSource } from '../../../src/p2p/peer/peer-source.ts';
import { openPieceClient, startPieceServer } from '../../support/piece-rig.ts';
import { pieceSourceConformance } from '../../support/piece-source-conformance.ts';
import { KeepingSink, never } from '../../support/registry-client.ts';
import { sampleBlob } from '../../support/store-conformance.ts';

async function open(t: Parameters<typeof startPieceServer>[0], size: number) {
  const { shelf, peer } = await startPieceServer(t);
  const { client, metrics } = openPieceClient(t);
  const blob = sampleBlob(size);
  shelf.blobs.set(blob.digest, blob.bytes);
  const source = peerSource(peer, blob.digest, { client, clock: systemClock, metrics });
  return { shelf, source, metrics, bytes: blob.bytes };
}

t.test('a peer is a piece source', (t) => {
  pieceSourceConformance(t, async (t) => {
    const { shelf, source, bytes } = await open(t, 1_200_000);
    const breakAfter = (count: number): void => {
      shelf.failFrom = count;
      const untouched = shelf.open.bind(shelf);
      let opened = 0;
      shelf.open = (digest) => {
        opened += 1;
        // Only the next read is to break.
        if (opened > 1) shelf.failFrom = Infinity;
        return untouched(digest);
      };
    };
    return { source, bytes, breakAfter };
  });
  t.end();
});

t.test('named by the peer; each piece is timed', async (t) => {
  const { source, metrics } = await open(t, 3 * MiB + 5);
  t.equal(source.kind, 'peer');
  t.equal(source.name, 'peer-a');
  await source.read({ start: 0, end: MiB }, new KeepingSink(), never);
  await source.read({ start: MiB }, new KeepingSink(), never);
  await t.rejects(source.read({ start: 0 }, new KeepingSink(), AbortSignal.abort(new Error('no'))));
  const text = await metrics.registry.metrics();
  t.match(text, 'hawker_piece_duration_seconds_count{source="peers"} 4\n');
  t.match(text, `hawker_peer_bytes_total{direction="in"} ${3 * MiB + 5}\n`);
});

t.test('a blob of no bytes', async (t) => {
  const { source, metrics } = await open(t, 0);
  const sink = new KeepingSink();
  await source.read({ start: 0 }, sink, never);
  t.strictSame(sink.heads, [{ total: 0, ranges: true, shown: undefined }]);
  t.equal(digestOf(sink.bytes), digestOf(''));
  t.match(await metrics.registry.metrics(), 'hawker_piece_duration_seconds_count{source="peers"} 0\n');
});
