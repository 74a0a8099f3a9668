import { crc32 } from '../base/crc32.ts';
import { digestHex, digestKind, parseBlobId, type Digest, type DigestKind } from '../base/digest.ts';

/**
 * The file that says when each blob was last verified. A header, records, and a check, all big-endian:
 *
 *     header  magic and version (8)
 *     record  kind of the digest (1) | digest | size (6) | modified (8) | changed (8) | verified (6)
 *     check   CRC-32 of all before it (4)
 *
 * It is replaced whole. What it says of a blob counts for as long as its file has this size and these times.
 */
const MAGIC = Buffer.from('hwkvrfy1', 'latin1');
const TIMES_BYTES = 28;
const CHECK_BYTES = 4;
const KINDS: Record<DigestKind, { readonly code: number; readonly bytes: number }> = {
  sha256: { code: 32, bytes: 32 },
  sha512: { code: 64, bytes: 64 },
  file: { code: 33, bytes: 32 },
};
const KIND_OF_CODE = new Map(
  (Object.keys(KINDS) as DigestKind[]).map((kind) => [KINDS[kind].code, { kind, bytes: KINDS[kind].bytes }]),
);

/** That a blob was verified, and what its file was like. Bytes; milliseconds since 1970. */
export interface VerifiedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
  readonly verifiedAt: number;
}

export function encodeVerified(blobs: readonly VerifiedBlob[]): Buffer {
  const lengths = blobs.map(({ digest }) => 1 + digestHex(digest).length / 2 + TIMES_BYTES);
  const bytes = Buffer.allocUnsafe(MAGIC.length + lengths.reduce((sum, length) => sum + length, 0) + CHECK_BYTES);
  let at = MAGIC.copy(bytes);
  for (const { digest, size, modifiedMs, changedMs, verifiedAt } of blobs) {
    at = bytes.writeUInt8(KINDS[digestKind(digest)].code, at);
    at += bytes.write(digestHex(digest), at, 'hex');
    at = bytes.writeUIntBE(size, at, 6);
    at = bytes.writeDoubleBE(modifiedMs, at);
    at = bytes.writeDoubleBE(changedMs, at);
    at = bytes.writeUIntBE(Math.floor(verifiedAt), at, 6);
  }
  bytes.writeUInt32BE(crc32(bytes.subarray(0, at)), at);
  return bytes;
}

/** Calls `take` for each record; false, and no call, where the bytes are not a sound file. Never throws. */
export function parseVerified(bytes: Buffer, take: (blob: VerifiedBlob) => void): boolean {
  const end = bytes.length - CHECK_BYTES;
  if (end < MAGIC.length || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return false;
  if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(0, end))) return false;
  for (let at = MAGIC.length; at < end;) {
    const { kind, bytes: digestBytes } = KIND_OF_CODE.get(bytes.readUInt8(at)) ?? { kind: '', bytes: 0 };
    const next = at + 1 + digestBytes + TIMES_BYTES;
    const hex = bytes.toString('hex', at + 1, at + 1 + digestBytes);
    const digest = parseBlobId(`${kind}:${hex}`);
    if (next > end || !digest) return true;
    const rest = bytes.subarray(at + 1 + digestBytes, next);
    take({
      digest,
      size: rest.readUIntBE(0, 6),
      modifiedMs: rest.readDoubleBE(6),
      changedMs: rest.readDoubleBE(14),
      verifiedAt: rest.readUIntBE(22, 6),
    });
    at = next;
  }
  return true;
}
