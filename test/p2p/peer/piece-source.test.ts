import t from 'tap';
import { codedError } from '../../../src/base/errors.ts';
import { originSource } from '../../../src/p2p/peer/origin-source.ts';
import { randomBytes, testBlob } from '../../support/hostile-registry.ts';
import { pieceSourceConformance } from '../../support/piece-source-conformance.ts';
import { openUpstream } from '../../support/registry-client.ts';
import { ScriptedSource } from '../../support/scripted-source.ts';

const BrokenOff = codedError('BROKEN_OFF', { message: () => 'broken off', todo: '' });

t.test('the scripted source of the tests', (t) => {
  pieceSourceConformance(t, async () => {
    const source = new ScriptedSource(randomBytes(1, 1_200_000));
    return {
      source,
      bytes: source.bytes,
      breakAfter: (after) => void source.mishaps.push({ after, error: new BrokenOff({}) }),
    };
  });
  t.end();
});

t.test('an origin registry', (t) => {
  pieceSourceConformance(t, async (t) => {
    const { origin, upstream } = await openUpstream(t);
    const blob = testBlob(randomBytes(2, 1_200_000));
    origin.addBlob('library/app', blob);
    return {
      source: originSource(upstream.blob('library/app', blob.digest), true),
      bytes: blob.bytes,
      breakAfter: (bytes) => {
        origin.faults.cut = { bytes, times: 1 };
      },
    };
  });
  t.end();
});
