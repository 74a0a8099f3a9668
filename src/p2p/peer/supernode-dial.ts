import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { bareHost } from '../../base/bare-host.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { ClusterTls } from '../protocol/cluster-tls.ts';
import type { SessionSocket } from '../protocol/socket.ts';
import { SupernodeUnresolved } from './session-errors.ts';
import { openSocket } from './supernode-socket.ts';

/** For the addresses of a name. */
export const RESOLVE_TIMEOUT_MS = 5000;
/** Addresses of one name that are tried. */
const MAX_CANDIDATES = 8;
/**
 * Questions for one name that are under way at the same time: each holds a thread for as long as the DNS is silent (`getaddrinfo`
 * cannot be broken off), and the process has few. One more than one, as the answer may have been lost that the first waits for.
 */
const MAX_QUESTIONS = 2;

/** One address at which a supernode may be. */
export interface Candidate {
  /** `host:port`, with the address that is really used. */
  readonly address: string;
  /** Rejects with the coded error of the step that failed (`connect` to `upgrade`); once `signal` aborts, with its reason. */
  open(signal?: AbortSignal): Promise<SessionSocket>;
}

/** Where a supernode's URL leads just now. Throws SUPERNODE_UNRESOLVED. */
export type FindCandidates = (url: string) => Promise<readonly Candidate[]>;

type Resolve = (host: string) => Promise<readonly string[]>;

/** Over the network: names are resolved anew each time, to all their addresses. */
export function networkCandidates(clock: Clock, resolve: Resolve = resolveAll, tls?: ClusterTls): FindCandidates {
  const ask = sharedQuestions(resolve);
  return async (text) => {
    const url = new URL(text);
    const host = bareHost(url.hostname);
    const port = Number(url.port || (url.protocol === 'https:' ? '443' : '80'));
    const addresses = isIP(host) ? [host] : inOrder(await resolveName(host, ask, clock));
    return addresses.slice(0, MAX_CANDIDATES).map((ip): Candidate => {
      const address = `${isIP(ip) === 6 ? `[${ip}]` : ip}:${port}`;
      return { address, open: (signal) => openSocket({ url, ip, port, address, clock, signal, tls }) };
    });
  };
}

async function resolveName(host: string, resolve: Resolve, clock: Clock): Promise<readonly string[]> {
  const late = new AbortController();
  try {
    const timeout = clock.sleep(RESOLVE_TIMEOUT_MS, late.signal).then(() => {
      throw new Error(`no answer within ${RESOLVE_TIMEOUT_MS} ms`);
    });
    const addresses = await Promise.race([resolve(host), timeout]);
    if (addresses.length === 0) throw new Error('the answer is empty');
    return addresses;
  } catch (error) {
    throw new SupernodeUnresolved({ host, why: describeError(error) }, { cause: error });
  } finally {
    late.abort();
  }
}

/** Who asks while enough questions for a name are unanswered gets the first answer to any of them. */
function sharedQuestions(resolve: Resolve): Resolve {
  const open = new Map<string, Set<Promise<readonly string[]>>>();
  return (host) => {
    const questions = open.get(host) ?? new Set();
    if (questions.size >= MAX_QUESTIONS) return Promise.race(questions);
    const question = resolve(host).finally(() => {
      questions.delete(question);
      if (questions.size === 0) open.delete(host);
    });
    questions.add(question);
    open.set(host, questions);
    return question;
  };
}

async function resolveAll(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
}

/**
 * IPv4 and IPv6 in turn, as RFC 8305 (4) has it, the family that the system prefers first; within a family sorted, so that
 * proxies that are given the same addresses, in whatever order, go to the same supernode.
 */
function inOrder(addresses: readonly string[]): string[] {
  const unique = [...new Set(addresses)];
  const first = isIP(unique[0]!);
  const preferred = unique.filter((address) => isIP(address) === first).sort();
  const others = unique.filter((address) => isIP(address) !== first).sort();
  return Array.from({ length: Math.max(preferred.length, others.length) }, (_none, i) => [preferred[i], others[i]])
    .flat()
    .filter((address) => address !== undefined);
}
