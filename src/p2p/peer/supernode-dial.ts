import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { WebSocket } from 'ws';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { MAX_MESSAGE_BYTES } from '../protocol/limits.ts';
import type { SessionSocket } from '../protocol/socket.ts';
import { WebSocketEnd } from '../protocol/web-socket.ts';
import { SupernodeNotHawker, SupernodeSilent, SupernodeUnreachable, SupernodeUnresolved } from './session-errors.ts';

/** For the addresses of a name, for a connection, and for the answer to its first request. */
export const RESOLVE_TIMEOUT_MS = 5000;
export const CONNECT_TIMEOUT_MS = 5000;
/** Addresses of one name that are tried. */
const MAX_CANDIDATES = 8;
const SESSION_PATH = '/api/v1/session';

/** One address at which a supernode may be. */
export interface Candidate {
  /** `host:port`, with the address that is really used. */
  readonly address: string;
  /** Throws SUPERNODE_UNREACHABLE, SUPERNODE_SILENT or SUPERNODE_NOT_HAWKER. */
  open(): Promise<SessionSocket>;
}

/** Where a supernode's URL leads just now. Throws SUPERNODE_UNRESOLVED. */
export type FindCandidates = (url: string) => Promise<readonly Candidate[]>;

type Resolve = (host: string) => Promise<readonly string[]>;

/** Over the network: names are resolved anew each time, to all their addresses. */
export function networkCandidates(clock: Clock, resolve: Resolve = resolveAll): FindCandidates {
  return async (text) => {
    const url = new URL(text);
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    const addresses = isIP(host) ? [host] : await resolveName(host, resolve, clock);
    return addresses.slice(0, MAX_CANDIDATES).map((ip): Candidate => {
      const address = `${isIP(ip) === 6 ? `[${ip}]` : ip}:${port}`;
      return { address, open: () => openSocket(url, ip, address) };
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

async function resolveAll(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
}

function openSocket(url: URL, ip: string, address: string): Promise<SessionSocket> {
  const secure = url.protocol === 'https:';
  const lookupFixed: LookupFunction = (_host, options, done) => {
    const family = isIP(ip);
    if (options.all) done(null, [{ address: ip, family }]);
    else done(null, ip, family);
  };
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(`${secure ? 'wss' : 'ws'}://${url.host}${SESSION_PATH}`, {
      lookup: lookupFixed,
      handshakeTimeout: CONNECT_TIMEOUT_MS,
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    let connected = false;
    ws.on('upgrade', () => {
      connected = true;
    });
    ws.once('unexpected-response', (request, response) => {
      response.resume();
      request.destroy();
      reject(new SupernodeNotHawker({ address, why: `it answers with HTTP status ${response.statusCode}` }));
    });
    ws.once('error', (error) => reject(openError(error, address, connected)));
    // From here on the end listens for itself; it is made at once, so that nothing is missed.
    const end = new WebSocketEnd(ws);
    ws.once('open', () => resolve(end));
  });
}

function openError(error: Error, address: string, connected: boolean): Error {
  const why = describeError(error);
  if (/handshake has timed out/.test(why)) {
    return new SupernodeSilent({ address, waitedMs: CONNECT_TIMEOUT_MS, step: 'the connection, or its first answer' });
  }
  const isForeign = connected || /^(?:Parse Error|Invalid|Unexpected server)/.test(error.message);
  if (isForeign) return new SupernodeNotHawker({ address, why }, { cause: error });
  return new SupernodeUnreachable({ address, why }, { cause: error });
}
