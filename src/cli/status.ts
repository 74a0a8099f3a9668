import { CodedError, describeError } from '../base/errors.ts';
import { formatSize } from '../base/units.ts';
import type { Config } from '../config/config.ts';
import { formatAddress } from '../config/formats.ts';
import { ProxyStatusAnswer, SupernodeStatusAnswer } from '../app/answers.ts';
import { askService, askSupernode } from './api-client.ts';
import { shortDigest } from './names.ts';
import { counted, printable, shortTime } from './table.ts';

/** Clocks that differ less are not worth a word. */
const CLOCK_SHOWN_S = 2;
/** So many downloads are shown. */
const MOST_DOWNLOADS = 8;

/** One service's answer, or why there is none. */
type Look<T> = { readonly url: string; readonly answer: T } | { readonly error: CodedError };

/** What runs on this node and what it belongs to. */
export interface StatusLook {
  readonly proxy: Look<ProxyStatusAnswer>;
  readonly supernode: Look<SupernodeStatusAnswer>;
}

/** Asks both at the same time. */
export async function lookAtStatus(config: Pick<Config, 'api' | 'supernodes' | 'cluster'>): Promise<StatusLook> {
  const url = `http://${formatAddress(config.api.listen)}`;
  const path = '/api/v1/status';
  const proxy = { url, what: 'proxy', setting: 'api.listen' } as const;
  const [ofProxy, ofSupernode] = await Promise.all([
    orError(askService(proxy, path, ProxyStatusAnswer).then((answer): Look<ProxyStatusAnswer> => ({ url, answer }))),
    orError(askSupernode(config, path, SupernodeStatusAnswer)),
  ]);
  return { proxy: ofProxy, supernode: ofSupernode };
}

/** What did not answer. */
export function statusErrors({ proxy, supernode }: StatusLook): CodedError[] {
  return [proxy, supernode].flatMap((look) => ('error' in look ? [look.error] : []));
}

/** `{ proxy, supernode, errors }`: each as its API gives it, null where it does not answer. */
export function statusJson(look: StatusLook): object {
  const errors = statusErrors(look).map((error) => ({
    code: error.code,
    message: describeError(error),
    todo: error.todo,
  }));
  return { proxy: answerOf(look.proxy), supernode: answerOf(look.supernode), errors };
}

export function statusText({ proxy, supernode }: StatusLook): string {
  const lines = [
    ...('error' in proxy ? [`proxy      no answer (${proxy.error.code})`] : proxyLines(proxy.url, proxy.answer)),
    ...('error' in supernode
      ? [`supernode  no answer (${supernode.error.code})`]
      : supernodeLines(supernode.url, supernode.answer)),
  ];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function proxyLines(url: string, answer: ProxyStatusAnswer): string[] {
  const { version, peer, advertised, supernodes = [], store, downloads, pressure } = answer;
  return [
    `proxy      ${url}, version ${version}${peer === undefined ? '' : `, peer ${peer}`}`,
    `  store      ${formatSize(store.bytes)} of ${formatSize(store.quota)}`,
    ...pressureLines(pressure),
    `  downloads  ${downloads.length}`,
    ...downloads.slice(0, MOST_DOWNLOADS).map(downloadLine),
    ...(downloads.length > MOST_DOWNLOADS ? [`    and ${downloads.length - MOST_DOWNLOADS} more (--json)`] : []),
    ...(supernodes.length === 0 ? ['  supernode  none: this node is alone'] : []),
    ...supernodes.flatMap(proxysSupernode),
    ...(advertised ? advertisedLines(advertised) : []),
  ];
}

/** Where others fetch from this node, once a supernode knows it. */
function advertisedLines({ addresses, code, message, todo }: NonNullable<ProxyStatusAnswer['advertised']>): string[] {
  if (code !== '') return [`  pieces     ${code}: ${message}`, `    to do    ${todo}`];
  return addresses.length === 0 ? [] : [`  pieces     at ${addresses.join(', ')}`];
}

/** How the proxy stands with one of its supernodes, and what to do where it does not stand well. */
function proxysSupernode(status: NonNullable<ProxyStatusAnswer['supernodes']>[number]): string[] {
  const { url, state, since, code, message, todo = '', clockSkewMs } = status;
  const why = code === '' ? '' : `: ${code}: ${message}`;
  const skew = Math.round((clockSkewMs ?? 0) / 1000);
  const clock =
    Math.abs(skew) < CLOCK_SHOWN_S ? '' : `, ${Math.abs(skew)} s ${skew > 0 ? 'behind' : 'ahead of'} this clock`;
  const lines = [`  supernode  ${url} ${state} since ${shortTime(since)}${clock}${why}`];
  return code === '' || todo === '' ? lines : [...lines, `    to do    ${todo}`];
}

/** One line while something is short. */
function pressureLines(pressure: ProxyStatusAnswer['pressure']): string[] {
  if (!pressure || pressure.level === 'none') return [];
  const shed = pressure.level === 'uploads' ? 'gives less to other nodes' : 'streams new blobs through';
  const { since } = pressure;
  return [`  short      ${shed} since ${shortTime(since)}: ${pressure.reasons.map((one) => one.message).join('; ')}`];
}

function downloadLine({ digest, size, inOrder, readers }: ProxyStatusAnswer['downloads'][number]): string {
  const of = size === null ? '' : ` of ${formatSize(size)}, ${size > 0 ? Math.floor((inOrder / size) * 100) : 100}%`;
  return `    ${shortDigest(digest)}  ${formatSize(inOrder)}${of}, ${readers === 0 ? 'nobody reads it' : counted(readers, 'reader')}`;
}

function supernodeLines(url: string, answer: SupernodeStatusAnswer): string[] {
  const { version, protocol, since, peers, swarm, rotation } = answer;
  const counts = Object.entries(peers).filter(([, count]) => count > 0);
  return [
    `supernode  ${url}, version ${version}, protocol ${protocol}, up since ${shortTime(since)}`,
    `  peers      ${counts.map(([state, count]) => `${count} ${state}`).join(', ') || 'none (hawker peers says why)'}`,
    `  swarm      ${counted(swarm.blobs, 'blob')}; under way: ${underWay(swarm)}`,
    ...(rotation ? [`  secret     ${rotationText(rotation)}`] : []),
  ];
}

function rotationText({ ready, waiting, waitingFor }: NonNullable<SupernodeStatusAnswer['rotation']>): string {
  const all = counted(ready + waiting, 'peer');
  if (waiting === 0)
    return `being replaced: ${all === '1 peer' ? 'the one peer is' : `all ${all} are`} ready for the next step`;
  const more = waiting > waitingFor.length ? ' and more' : '';
  return `being replaced: ${ready} of ${all} ready for the next step; not yet: ${waitingFor.join(', ')}${more}`;
}

function underWay({ wishes, transfers, leases }: SupernodeStatusAnswer['swarm']): string {
  if (wishes + transfers + leases === 0) return 'nothing';
  const downloads = counted(wishes, 'download');
  return `${downloads}, ${counted(transfers, 'piece')} between peers, ${counted(leases, 'read')} from origins`;
}

function answerOf<T>(look: Look<T>): T | null {
  return 'error' in look ? null : look.answer;
}

function orError<T>(asked: Promise<Look<T>>): Promise<Look<T>> {
  return asked.catch((error: unknown) => {
    if (error instanceof CodedError) return { error };
    throw error;
  });
}
