import { createLogger, type LogLevel } from '../base/log.ts';
import { formatSize } from '../base/units.ts';
import { Demo, DEMO_REPOSITORY, UNPULLED_TAG, type DemoPull, type NodePull } from '../app/demo/demo.ts';
import { DONE, FAILED, failureLine } from './exit.ts';
import { Interrupted } from './errors.ts';
import type { ProcessPort } from './process-port.ts';
import { Progress, type Bar } from './progress.ts';
import { table } from './table.ts';
import { terminalLook } from './terminal.ts';

export interface DemoFlags {
  readonly nodes: number;
  /** In bytes. */
  readonly size: number;
  /** Leaves it running until a signal. */
  readonly keep: boolean;
  readonly json: boolean;
  readonly logLevel: LogLevel;
}

/**
 * Threads for file work. Node's four are meant for one service: with several nodes in a process, writes would wait for each
 * other, and what comes in meanwhile pile up in sockets.
 */
const THREADS_A_NODE = 4;
const POOL_SIZE = 'UV_THREADPOOL_SIZE';
/** A Ctrl-C reaches a process from the terminal and from who started it. */
const SAME_SIGNAL_MS = 500;

const COLUMNS = [
  { title: 'NODE' },
  { title: 'SECONDS', align: 'right' },
  { title: 'FROM THE ORIGIN', align: 'right' },
  { title: 'FROM PEERS', align: 'right' },
] as const;

/**
 * Runs the demonstration and prints it as it goes; gives the exit status. A signal ends it early. Whatever happens, nothing of
 * it is left behind.
 */
export async function runDemo(flags: DemoFlags, port: ProcessPort): Promise<number> {
  const { nodes, size, keep } = flags;
  // Node takes it from the environment only, and has made its threads by now.
  if (port.rerun && port.environment[POOL_SIZE] === undefined) {
    return port.rerun({ [POOL_SIZE]: String(THREADS_A_NODE * (nodes + 1)) });
  }
  const asked = new AbortController();
  const { signal } = asked;
  let demo: Demo | undefined;
  const abandon = (): void => {
    demo?.abandon();
    port.exit(FAILED);
  };
  let firstAt = Number.POSITIVE_INFINITY;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    port.onSignal(name, () => {
      const now = performance.now();
      // The second time somebody does not want to wait.
      if (now - firstAt >= SAME_SIGNAL_MS) abandon();
      firstAt = Math.min(firstAt, now);
      asked.abort(new Interrupted({ signal: name }));
    });
  }
  port.onCrash((error) => {
    port.complain(failureLine(error));
    abandon();
  });
  // Standard output is for what it shows, which may be JSON.
  const destination = { write: (text: string) => port.complain(text) };
  const log = createLogger({ level: flags.logLevel, format: 'json', destination });
  demo = await Demo.start({ nodes, imageBytes: size, unpulled: keep, log, signal });
  try {
    await (flags.json ? printJson(demo, flags, port) : tell(demo, flags, port));
    if (keep) await aborted(signal);
    return DONE;
  } finally {
    await demo.stop();
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
  });
}

/** As a person reads it. */
async function tell(demo: Demo, { keep }: DemoFlags, port: ProcessPort): Promise<void> {
  const nodes = demo.nodes.length;
  const { imageBytes } = demo;
  const rate = demo.originBytesPerSecond;
  port.print(
    `On 127.0.0.1: an image of ${formatSize(imageBytes)} in ${demo.layers} layers, at an origin that gives ${formatSize(rate)}/s;\n` +
      `a supernode; ${nodes} nodes with empty stores. All ${nodes} pull it at once, cold:\n\n`,
  );
  const cold = await withBars(demo, port);
  const rows = cold.nodes.map(({ node, seconds, originBytes, peerBytes }) => {
    return [String(node), seconds.toFixed(2), formatSize(originBytes), formatSize(peerBytes)];
  });
  port.print(table(COLUMNS, rows, { colour: false }));
  const alone = ((nodes * imageBytes) / rate).toFixed(0);
  port.print(
    `The origin sent ${formatSize(cold.originBytes)}, ${ratio(cold, demo)} times the image ` +
      `(without Hawker: ${nodes} times, ${alone} s).\n\n`,
  );
  const warm = await demo.pull();
  port.print(`Warm: pulled again in ${warm.seconds.toFixed(2)} s, ${formatSize(warm.originBytes)} from the origin.\n`);
  if (keep) {
    port.print(keptText(demo));
    return;
  }
  await demo.stopOriginAndSupernode();
  const stopped = await demo.pull();
  port.print(`Origin and supernode stopped: pulled once more in ${stopped.seconds.toFixed(2)} s, from the stores.\n`);
}

/** The pull that takes long enough to be looked at. */
async function withBars(demo: Demo, port: ProcessPort): Promise<DemoPull> {
  const look = terminalLook(port);
  if (!look) return demo.pull();
  const progress = new Progress((text) => port.print(text), look);
  let pulls: readonly NodePull[] = [];
  try {
    progress.show(() => pulls.map((pull) => barOf(pull, demo.imageBytes)));
    return await demo.pull((nodes) => (pulls = nodes));
  } finally {
    progress.clear();
  }
}

function barOf({ node, originBytes, peerBytes }: NodePull, total: number): Bar {
  const size = (count: number) => formatSize(count).padStart(8);
  const parts = [
    { source: 'origin', size: originBytes },
    { source: 'peers', size: peerBytes },
  ] as const;
  const note = `${size(originBytes)} origin  ${size(peerBytes)} peers`;
  return { label: `node ${node}`, parts, total, note };
}

function ratio({ originBytes }: DemoPull, { imageBytes }: Demo): string {
  return (originBytes / imageBytes).toFixed(3);
}

function keptText(demo: Demo): string {
  const [first] = demo.nodes;
  const { mirror, api } = first!;
  const places = demo.nodes.map((node, index) => [String(index + 1), node.mirror, node.pieces, node.api]);
  const titles = [{ title: 'NODE' }, { title: 'MIRROR' }, { title: 'PIECES' }, { title: 'API' }];
  return [
    `\nAll of it goes on until Ctrl-C. The supernode is ${demo.supernode}.\n`,
    table(titles, places, { colour: false }),
    `\nTry, at one node and then at another (nobody has pulled ${UNPULLED_TAG} yet):\n`,
    `  curl -i ${mirror}/v2/${DEMO_REPOSITORY}/manifests/${UNPULLED_TAG}\n`,
    `  docker pull ${mirror.replace('http://', '')}/${DEMO_REPOSITORY}:${UNPULLED_TAG}\n`,
    `  hawker peers --supernodes ${demo.supernode}\n`,
    `  hawker blobs --supernodes ${demo.supernode}\n`,
    `  hawker status --api-listen ${api.replace('http://', '')} --supernodes ${demo.supernode}\n`,
  ].join('');
}

/** One line: the pulls with what each node took, and where all of it is while it is kept. */
async function printJson(demo: Demo, { keep }: DemoFlags, port: ProcessPort): Promise<void> {
  const { imageBytes, layers, originBytesPerSecond, supernode, nodes } = demo;
  const pulls = [jsonOf('cold', await demo.pull(), demo), jsonOf('warm', await demo.pull(), demo)];
  if (!keep) {
    await demo.stopOriginAndSupernode();
    pulls.push(jsonOf('stopped', await demo.pull(), demo));
  }
  const kept = keep ? { supernode, nodes } : null;
  port.print(`${JSON.stringify({ image: { bytes: imageBytes, layers }, originBytesPerSecond, pulls, kept })}\n`);
}

function jsonOf(name: string, pull: DemoPull, demo: Demo): object {
  return { name, ...pull, originRatio: Number(ratio(pull, demo)) };
}
