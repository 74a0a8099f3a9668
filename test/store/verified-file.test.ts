import fc from 'fast-check';
import t from 'tap';
import { digestOf, fileIdOf } from '../../src/base/digest.ts';
import { encodeVerified, parseVerified, type VerifiedBlob } from '../../src/store/verified-file.ts';

const time = fc.double({ min: 0, max: 2 ** 43, noNaN: true, noDefaultInfinity: true });
const blobs = fc.array(
  fc.record({
    digest: fc
      .tuple(fc.string(), fc.constantFrom('sha256' as const, 'sha512' as const, 'file' as const))
      .map(([text, kind]) => (kind === 'file' ? fileIdOf(text) : digestOf(text, kind))),
    size: fc.nat({ max: 2 ** 48 - 1 }),
    modifiedMs: time,
    changedMs: time,
    verifiedAt: fc.nat({ max: 2 ** 43 }),
  }),
);

function parsed(bytes: Buffer): VerifiedBlob[] | undefined {
  const found: VerifiedBlob[] = [];
  return parseVerified(bytes, (blob) => found.push(blob)) ? found : undefined;
}

t.test('what was written is read again; what is cut, longer or garbled is nothing', async () => {
  fc.assert(
    fc.property(blobs, fc.nat(), fc.integer({ min: 1, max: 255 }), (blobs, where, flip) => {
      const bytes = encodeVerified(blobs);
      const same = JSON.stringify(parsed(bytes)) === JSON.stringify(blobs);
      const cut = parsed(bytes.subarray(0, where % bytes.length));
      const garbled = Buffer.from(bytes);
      garbled[where % bytes.length]! ^= flip;
      return (
        same &&
        cut === undefined &&
        parsed(garbled) === undefined &&
        parsed(Buffer.concat([bytes, bytes])) === undefined
      );
    }),
  );
});

t.test('any bytes at all', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => parsed(Buffer.from(bytes)) === undefined));
});
