import type { Hawker } from '../../e2e/support/hawker.ts';
import { metricsOf, sumOf, type Metrics } from './metrics.ts';
import type { Pull } from './pull.ts';
import { amount, metricInWords } from './result.ts';
import type { Evidence, Moved, Row, Seen } from './row.ts';
import { untilSo } from './until-so.ts';

/** Log lines and metrics come a moment after the bytes that they are about. */
const SETTLE_MS = 3000;
const LOUD = new Set(['warn', 'error', 'fatal']);

/** What is not as the row says, a line each; empty: all is. */
export async function judge(row: Row, evidence: Evidence): Promise<string[]> {
  const { node, pulls, before = '', faults = [] } = evidence;
  const ofPulls = pulls.flatMap((one) => pullFaults(row.seen, one));
  const ofNode = await untilSo(SETTLE_MS, async () => [
    ...logFaults(row, node, evidence.blamed),
    ...(node.running ? metricFaults(row.moved, before, await metricsOf(node)) : []),
  ]);
  const missing = pulls.length === 0 && row.seen.kind !== 'told' ? ['nothing was pulled'] : [];
  const ended = node.running ? [] : ['the node has ended'];
  return [...faults, ...missing, ...ofPulls, ...ended, ...ofNode];
}

/** What a pull is not of what it should be. */
export function pullFaults(seen: Seen, pull: Pull): string[] {
  if (seen.kind === 'told') return [];
  if (seen.kind === 'whole') return wholeFaults(seen, pull);
  if (seen.kind === 'cut') {
    const isCut = pull.status === 200 && pull.end === 'fin' && pull.bytes < pull.length;
    return isCut ? [] : [`the client saw ${inWords(pull)}, not an early FIN`];
  }
  const isRefused = pull.status === 404 && pull.end === 'whole' && pull.detail === seen.code;
  return isRefused ? [] : [`the client saw ${inWords(pull)}, not a 404 with ${seen.code}`];
}

/** What keeps a pull from being whole and right. */
export function wholeFaults({ source, status = 200 }: Omit<Seen & { kind: 'whole' }, 'kind'>, pull: Pull): string[] {
  const isWhole = pull.status === status && pull.end === 'whole' && pull.bytes === pull.length;
  if (!isWhole || pull.digest !== pull.expected)
    return [`the client saw ${inWords(pull)}, not ${status} and all bytes`];
  const said = String(pull.headers['x-hawker-source']);
  const isSource = typeof source === 'string' ? said === source : source.test(said);
  return isSource ? [] : [`X-Hawker-Source is ${said}, not ${String(source)}`];
}

function inWords({ status, end, bytes, length, wrongAt, detail }: Pull): string {
  const wrong = wrongAt === undefined ? '' : `, wrong from ${wrongAt} on`;
  const said = detail === undefined ? '' : ` (${detail})`;
  return `status ${status}${said}, ${bytes} of ${length} bytes${wrong}, then ${end === 'whole' ? 'its proper end' : end}`;
}

interface Line {
  readonly level: string;
  readonly code?: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

/** The lines of a node's log that are JSON. */
export function linesOf(node: Hawker): Line[] {
  const lines = node.log().split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
}

function logFaults({ codes, mayLog = [], blamed }: Row, node: Hawker, name = blamed.name): string[] {
  const lines = linesOf(node);
  const missing = codes.filter((code) => !lines.some((line) => line.code === code));
  const expected = new Set([...codes, ...mayLog]);
  const loud = lines.filter(({ level, code = '' }) => LOUD.has(level) && !expected.has(code));
  const { code, field = '' } = blamed;
  const isBlamed = code === undefined || lines.some((line) => line.code === code && line[field] === name);
  return [
    ...missing.map((one) => `the log has no ${one}`),
    ...new Set(loud.map((line) => `the log has ${line.code ?? 'no code'}: ${line.msg}`)),
    ...(isBlamed ? [] : [`no ${code} names ${name} as its ${field}`]),
  ];
}

function metricFaults(moved: readonly Moved[], before: Metrics, now: Metrics): string[] {
  return moved.flatMap((one) => {
    const { name, labels, by } = one;
    const value = sumOf(now, name, labels) - sumOf(before, name, labels);
    const { atLeast, atMost = Infinity } = typeof by === 'number' ? { atLeast: by, atMost: by } : by;
    if (value >= atLeast && value <= atMost) return [];
    return [`${metricInWords(one)} moved by ${value}, not by ${amount(by)}`];
  });
}
