import { GiB, MiB } from '../../src/base/units.ts';
import type { Server } from './bench-rig.ts';
import { pull } from './curl.ts';
import type { Sample } from './measure.ts';
import { treeSeconds } from './processes.ts';

export const RATE = 'MiB/s';
export const SERVER_CPU = 'CPU-s/GiB';
export const CLIENT_CPU = 'curl CPU-s/GiB';
const ORIGIN_CPU = 'origin CPU-s/GiB';
const FIRST_BYTE = 'first byte ms';

/** One pull by curl: its rate, and what it cost on each side, with what is done after it until `settled` resolves. */
export async function measuredPull(
  url: string,
  size: number,
  { servers = [], origin }: { servers?: readonly Server[]; origin?: Server | undefined },
  settled: () => Promise<void> = () => Promise.resolve(),
): Promise<Sample> {
  const cpu = (some: readonly Server[]) => some.reduce((sum, { daemon }) => sum + treeSeconds(daemon.pid), 0);
  const origins = origin ? [origin] : [];
  const before = { servers: cpu(servers), origin: cpu(origins) };
  const { seconds, firstByteSeconds, clientCpuSeconds } = await pull(url, size);
  await settled();
  const gibibytes = size / GiB;
  return {
    [RATE]: size / MiB / seconds,
    ...(servers.length > 0 && { [SERVER_CPU]: (cpu(servers) - before.servers) / gibibytes }),
    [CLIENT_CPU]: clientCpuSeconds / gibibytes,
    ...(origin && { [ORIGIN_CPU]: (cpu(origins) - before.origin) / gibibytes }),
    [FIRST_BYTE]: firstByteSeconds * 1000,
  };
}
