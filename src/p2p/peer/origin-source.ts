import type { OriginBlob } from '../../registry/upstream.ts';
import type { PieceSource } from './piece-source.ts';

/** A repository at an origin registry, as a source of one blob's pieces; see `PieceSource.isOpen`. */
export function originSource(blob: OriginBlob, isOpen: boolean): PieceSource {
  return { kind: 'origin', name: blob.name, isOpen, read: (range, sink, signal) => blob.read(range, sink, signal) };
}
