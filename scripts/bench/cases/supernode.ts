import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Result } from '../../bench-supernode/results.ts';
import type { Case } from '../case.ts';
import { OURS } from '../measure.ts';

const SCRIPT = fileURLToPath(new URL('../../bench-supernode.js', import.meta.url));
const BARE = 'a bare WebSocket server';

export const supernode: Case = {
  name: 'supernode',
  title: 'sessions, registrations and piece reports at a supernode, once (npm run bench:supernode)',
  marks: [
    { figure: '1000 idle sessions: MiB', as: 'value', rule: 'at most', bound: 100 },
    { figure: '10000 idle sessions: MiB', as: 'value', rule: 'at most', bound: 400 },
    { figure: '200 proxies: reports a core-second', as: 'value', rule: 'at least', bound: 40_000 },
    { figure: '1000 proxies: reports a core-second', as: 'value', rule: 'at least', bound: 40_000 },
  ],
  async runOutside() {
    const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, '--json']);
    const { results } = JSON.parse(stdout) as { results: Result[] };
    const ours: Record<string, number> = {};
    const bare: Record<string, number> = {};
    for (const result of results) {
      const { kind, residentMiB } = result;
      if (kind === 'idle') ours[`${result.sessions} idle sessions: MiB`] = residentMiB;
      else if (kind === 'return') {
        const what = `${result.peers} proxies with ${result.blobs} blobs each come back`;
        Object.assign(ours, {
          [`${what}: s`]: result.seconds,
          [`${what}: CPU-s`]: result.cpuSeconds,
          [`${what}: MiB`]: residentMiB,
          'bytes a blob of a proxy': result.bytesPerBlob,
        });
      } else {
        const figures = kind === 'bare' ? bare : ours;
        figures[`${result.peers} proxies: reports a core-second`] = result.reportsPerCoreSecond;
      }
    }
    return { [OURS]: [ours], [BARE]: [bare] };
  },
};
