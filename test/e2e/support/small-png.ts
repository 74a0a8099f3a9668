import { crc32, deflateSync, inflateSync } from 'node:zlib';

const SIGNATURE = 8;
const MAX_COLOURS = 256;
const CHANNELS = 3;

/**
 * A picture of a page in 256 colours, which is a third of what Chromium makes of it. `png` is one of Chromium's: 8 bits of red, green and
 * blue, not interlaced (PNG specification, 3rd edition, 11.2).
 */
export function smallPng(png: Buffer): Buffer {
  const { head, data } = chunksOf(png);
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  if (head[8] !== 8 || head[9] !== 2 || head[12] !== 0) throw new Error('not a picture as Chromium makes them');
  const pixels = unfiltered(inflateSync(data), width * CHANNELS, height);
  const { palette, indexOf } = paletteOf(pixels);
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1)
      rows[y * (width + 1) + 1 + x] = indexOf(pixels.readUIntBE((y * width + x) * CHANNELS, CHANNELS));
  const about = Buffer.from(head);
  about[9] = 3;
  return Buffer.concat([
    png.subarray(0, SIGNATURE),
    chunk('IHDR', about),
    chunk('PLTE', palette),
    chunk('IDAT', deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunksOf(png: Buffer): { head: Buffer; data: Buffer } {
  const parts: Record<string, Buffer[]> = {};
  for (let at = SIGNATURE; at < png.length;) {
    const length = png.readUInt32BE(at);
    (parts[png.toString('latin1', at + 4, at + 8)] ??= []).push(png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  return { head: parts['IHDR']![0]!, data: Buffer.concat(parts['IDAT']!) };
}

/** What the filter of each row has left is put together again (9.2). */
function unfiltered(raw: Buffer, stride: number, height: number): Buffer {
  const pixels = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (stride + 1)]!;
    for (let x = 0; x < stride; x += 1) {
      const at = y * stride + x;
      const left = x < CHANNELS ? 0 : pixels[at - CHANNELS]!;
      const up = y === 0 ? 0 : pixels[at - stride]!;
      const corner = x < CHANNELS || y === 0 ? 0 : pixels[at - stride - CHANNELS]!;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
      pixels[at] = raw[y * (stride + 1) + 1 + x]! + guess;
    }
  }
  return pixels;
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/** The colours that occur most, and to each other one the nearest of them. */
function paletteOf(pixels: Buffer): { palette: Buffer; indexOf: (colour: number) => number } {
  const counts = new Map<number, number>();
  for (let at = 0; at < pixels.length; at += CHANNELS) {
    const colour = pixels.readUIntBE(at, CHANNELS);
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const colours = [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour);
  const kept = colours.slice(0, MAX_COLOURS);
  const palette = Buffer.alloc(kept.length * CHANNELS);
  kept.forEach((colour, index) => palette.writeUIntBE(colour, index * CHANNELS, CHANNELS));
  const indices = new Map(kept.map((colour, index) => [colour, index]));
  for (const colour of colours.slice(MAX_COLOURS)) indices.set(colour, nearest(kept, colour));
  return { palette, indexOf: (colour) => indices.get(colour)! };
}

function nearest(kept: readonly number[], colour: number): number {
  const parts = (of: number) => [of >> 16, (of >> 8) & 255, of & 255] as const;
  const [red, green, blue] = parts(colour);
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [index, one] of kept.entries()) {
    const [r, g, b] = parts(one);
    const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
    if (distance >= least) continue;
    least = distance;
    best = index;
  }
  return best;
}

function chunk(name: string, data: Buffer): Buffer {
  const text = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const whole = Buffer.alloc(text.length + 8);
  whole.writeUInt32BE(data.length, 0);
  text.copy(whole, 4);
  whole.writeUInt32BE(crc32(text), text.length + 4);
  return whole;
}
