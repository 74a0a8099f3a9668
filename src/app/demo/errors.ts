import { codedError } from '../../base/errors.ts';
import { formatSize } from '../../base/units.ts';

const REPORT = 'please report it, with the output of hawker demo --log-level debug';

export const DemoPullFailed = codedError('DEMO_PULL_FAILED', {
  message: (p: { url: string; came: string }) => `GET ${p.url}, through a node's mirror, gave ${p.came}`,
  todo: REPORT,
});

export const DemoNotReady = codedError('DEMO_NOT_READY', {
  message: (p: { ready: number; nodes: number; boundMs: number; why: string }) =>
    `${p.ready} of ${p.nodes} nodes were known to the supernode and reachable after ${p.boundMs} ms${p.why}`,
  todo: 'check that programs may connect to each other on 127.0.0.1 (a firewall?)',
});

export const DemoNeedsRoom = codedError('DEMO_NEEDS_ROOM', {
  message: (p: { dir: string; free: number; needed: number }) =>
    `${p.dir} has ${formatSize(p.free)} free, and the nodes' stores will take ${formatSize(p.needed)}`,
  todo: 'set TMPDIR to a directory with more room, or give fewer --nodes or a smaller --size',
});
