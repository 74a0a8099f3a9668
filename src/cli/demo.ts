import type { Demo } from '../app/demo/demo.ts';
import { formatSize } from '../base/units.ts';
import type { ProcessPort } from './process-port.ts';

const COLUMNS = ['pull', 'seconds', 'MiB/s', 'from the origin', 'from the store'];
const WIDTHS = [16, 9, 8, 17, 16];

/** Prints the demonstration's pulls as they are done. */
export async function runDemo(demo: Demo, port: ProcessPort): Promise<void> {
  const { layers, imageBytes } = demo;
  port.print(`An image of ${formatSize(imageBytes)} in ${layers} layers, pulled three times through Hawker:\n\n`);
  port.print(row(COLUMNS));
  for await (const { name, seconds, originBytes, storeBytes, imageBytes } of demo.pulls) {
    const rate = Math.round(imageBytes / 2 ** 20 / seconds).toString();
    port.print(row([name, seconds.toFixed(2), rate, formatSize(originBytes), formatSize(storeBytes)]));
  }
  port.print(
    '\nCold: each blob left the origin once. Warm, and with the origin stopped: it came from this node’s store.\n',
  );
}

function row(cells: readonly string[]): string {
  return `${cells.map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[i]!) : cell.padStart(WIDTHS[i]!))).join('')}\n`;
}
