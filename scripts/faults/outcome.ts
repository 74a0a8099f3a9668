import type { Finished } from '../netns/programs.ts';
import type { Cause, Site } from './cause.ts';
import { EXPECTED } from './expected.ts';
import type { LogLine, PeersView, Service } from './service.ts';
import { supernodeName } from './world.ts';

/** What a cause did to its cluster. */
export interface Outcome {
  readonly cause: Pick<Cause, 'name' | 'title'>;
  /** What `hawker peers` said of the node. */
  readonly peers: string;
  /** Undefined: this build has no such command. */
  readonly doctor: Diagnosis | undefined;
  /** Codes of warnings and errors, in order, each once. */
  readonly proxyLog: readonly string[];
  readonly supernodeLog: readonly string[];
  /** Until the cluster was whole, from the cure on; where nothing had to be cured: from the node's start on, or undefined. */
  readonly wholeMs: number | undefined;
  readonly cured: boolean;
  /** What is not as it must be, a line each. */
  readonly faults: readonly string[];
}

export interface Diagnosis {
  readonly exitCode: number | null;
  /** Checks that failed, by their codes. */
  readonly failed: readonly string[];
}

/** What is not yet as `EXPECTED` says; none: all is seen. */
export function unseen(site: Site, cause: string, view: PeersView | undefined): string[] {
  const expected = EXPECTED[cause];
  if (!expected) throw new Error(`expected.ts does not say what to expect of ${cause}`);
  const { peers, proxyLog, supernodeLog = [] } = expected;
  const faults = peersFault(site, view, peers);
  const missing = (of: string, seen: readonly LogLine[], codes: readonly RegExp[]) =>
    codes
      .filter((code) => !seen.some((one) => code.test(one.code)))
      .map((code) => `no ${code.source} in the log of the ${of}`);
  return [
    ...(faults === undefined ? [] : [faults]),
    ...missing('proxy', site.node.warnings(), proxyLog),
    ...missing('supernode', supernodeWarnings(site), supernodeLog),
  ];
}

/** What the site's supernode has logged of the fault: of a cluster that others share, what names the node. */
export function supernodeWarnings({ node, supernode, spare }: Site): LogLine[] {
  const isOwn = spare !== undefined;
  return supernode.warnings().filter(({ text }) => isOwn || isAbout(text, node));
}

function peersFault(
  site: Site,
  view: PeersView | undefined,
  expected: (typeof EXPECTED)[string]['peers'],
): string | undefined {
  const found = peersCell(site, view);
  const rows = view?.peers.filter(({ host }) => host === site.node.name) ?? [];
  if (expected === 'no answer') return view === undefined ? undefined : `peers: the supernode answers (${found})`;
  if (view === undefined) return 'peers: the supernode does not answer';
  if (expected === 'absent') return rows.length === 0 ? undefined : `peers: ${found}`;
  const isThere =
    'rejected' in expected
      ? rejectedOf(site, view).some(({ code }) => code === expected.rejected)
      : rows.some(({ state, reason }) => expected.state.test(state) && (expected.reason?.test(reason) ?? true));
  return isThere ? undefined : `peers: ${found}`;
}

const rejectedOf = ({ node }: Site, view: PeersView) =>
  view.rejected.filter(({ address }) => address.replace(/:\d+$/, '') === node.host.address);

/** Whether a line of the supernode's log names that node. */
function isAbout(text: string, { name, host }: Service): boolean {
  return text.includes(`"${name}"`) || new RegExp(`\\b${host.address.replaceAll('.', '\\.')}\\b`).test(text);
}

/** What the roster has of the node, in a line. */
export function peersCell(site: Site, view: PeersView | undefined): string {
  if (view === undefined) return 'no answer';
  const rows = view.peers
    .filter(({ host }) => host === site.node.name)
    .map(({ state, reason }) => (reason === '' ? state : `${state}: ${reason}`));
  const rejected = rejectedOf(site, view).map(({ code, message }) => `rejected ${code}: ${message}`);
  const cell = [...rows, ...rejected].join('; ');
  return cell === '' ? 'not listed' : cell;
}

/** The output of `hawker peers --json`, or what it says instead. */
export function peersCellOf(site: Site, { code, stdout, stderr }: Finished): string {
  if (code === 0) return peersCell(site, JSON.parse(stdout) as PeersView);
  return `exit ${code}: ${stderr.trim().split('\n')[0] ?? ''}`;
}

/** The same text, whatever addresses and names this run has given. */
export function plain({ world, node, supernode, spare, others }: Site, text: string): string {
  const names = new Map([
    [node.host.address, 'NODE'],
    [supernode.host.address, 'SUPERNODE'],
    ...(spare ? [[spare.host.address, 'SECOND-SUPERNODE'] as const] : []),
    ...others.map((other) => [other.host.address, 'OTHER'] as const),
  ]);
  return text
    .replaceAll(/\b10\.77\.\d+\.\d+\b/g, (address) => names.get(address) ?? address)
    .replaceAll(supernodeName(node.name), 'supernode.test')
    .replaceAll(`${world.dir}/`, '/')
    .replaceAll(`${node.name}.json`, 'hawker.json');
}

/** The output of `hawker doctor --json`. */
export function diagnosisOf({ code, stdout, stderr }: Finished): Diagnosis {
  if (!stdout.startsWith('{')) return { exitCode: code, failed: [stderr.trim().split('\n')[0] ?? ''] };
  const { checks } = JSON.parse(stdout) as { checks: { code: string; status: string }[] };
  const failed = checks.filter(({ status }) => status === 'failed').map((check) => check.code);
  return { exitCode: code, failed: [...new Set(failed)] };
}

/** Codes, each once; what is no log line by its words. */
export function codesOf(lines: readonly LogLine[]): string[] {
  return [...new Set(lines.map(({ code, message }) => (code === '' ? `“${message}”` : code)))];
}

/** What `hawker doctor` did not find, or should not have. */
export function doctorFaults(name: string, diagnosis: Diagnosis | undefined): string[] {
  if (!diagnosis) return [];
  const { doctor } = EXPECTED[name]!;
  const missing = doctor.filter((code) => !diagnosis.failed.includes(code));
  const exit = doctor.length > 0 ? 1 : 0;
  return [
    ...missing.map((code) => `doctor does not find ${code} (but ${diagnosis.failed.join(', ') || 'nothing'})`),
    ...(diagnosis.exitCode === exit
      ? []
      : [`doctor ends with ${diagnosis.exitCode}, not ${exit}: ${diagnosis.failed.join(', ')}`]),
  ];
}
