/** What is asked of a swarm: so many nodes, over such links, pull a blob of that size. */
export interface Shape {
  readonly nodes: number;
  /** Of each node's link, each way, in bits a second; and of the origin's. */
  readonly rate: number;
  readonly originRate: number;
  /** In bytes. */
  readonly size: number;
}

/** Of a TCP stream with timestamps, in a full frame of 1500 bytes of IP; and that frame on Ethernet: the links carry frames, the bound counts payload. */
export const SEGMENT_BYTES = 1448;
const FRAME_BYTES = 1514;
export const HEADER_FACTOR = FRAME_BYTES / SEGMENT_BYTES;

/** The least time in seconds: the origin must send each byte once, each node take each byte, and all links together carry N copies. */
export function lowerBound({ nodes, rate, originRate, size }: Shape): number {
  const bits = 8 * size;
  return Math.max(bits / originRate, bits / rate, (nodes * bits) / (originRate + nodes * rate));
}
