import { request, type RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';
import { codeOf, describeError } from '../../base/errors.ts';
import { KiB } from '../../base/units.ts';
import { splitAddress } from './addresses.ts';
import { CLOSED_AFTER_HANDSHAKE, tlsFault, type ClusterTls } from './cluster-tls.ts';
import { WhoamiFailed } from './errors.ts';

/** For the whole of it: connect, ask, answer. */
export const WHOAMI_TIMEOUT_MS = 2000;
const MAX_ANSWER_BYTES = 4 * KiB;

/** Who answers at a piece port, and its proof over the nonce. */
export interface WhoamiAnswer {
  readonly peer: string;
  readonly instance: string;
  readonly proof: string;
}

/** Asks a piece port who it is, as `askWhoami`. */
export type AskWhoami = (address: string, nonce: string, timeoutMs?: number) => Promise<WhoamiAnswer>;

/** How members of a cluster ask: by TLS where it has it. */
export function whoamiBy(tls: ClusterTls | undefined): AskWhoami {
  return (address, nonce, timeoutMs) => askWhoami(address, nonce, timeoutMs, tls);
}

/** Asks a piece port who it is (`GET /v1/whoami?nonce=…`). Throws WHOAMI_FAILED, with the address and what went wrong. */
export async function askWhoami(
  address: string,
  nonce: string,
  timeoutMs = WHOAMI_TIMEOUT_MS,
  tls?: ClusterTls,
): Promise<WhoamiAnswer> {
  const failed = (why: string, cause?: unknown) => new WhoamiFailed({ address, why }, { cause });
  const parts = splitAddress(address);
  if (!parts) throw failed('it is no address of the form host:port');
  let body: string;
  try {
    body = await get({ ...parts, path: `/v1/whoami?nonce=${encodeURIComponent(nonce)}` }, timeoutMs, tls);
  } catch (error) {
    throw failed((tls && (tlsFault(error) ?? closedAfterHandshake(error))) ?? describeError(error), error);
  }
  const answer = parseAnswer(body);
  if (!answer) throw failed('what answers there is not Hawker');
  return answer;
}

function closedAfterHandshake(error: unknown): string | undefined {
  const isHungUp = codeOf(error) === 'ECONNRESET' && describeError(error).includes('socket hang up');
  return isHungUp ? CLOSED_AFTER_HANDSHAKE : undefined;
}

/** What a TLS port answers to a request without TLS (http/tls-port.ts). */
const UPGRADE_REQUIRED = 426;

function get(to: RequestOptions, timeoutMs: number, tls: ClusterTls | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const ask: typeof request = tls ? requestTls : request;
    const asking = ask({ ...to, agent: false, ...tls?.toMember }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes <= MAX_ANSWER_BYTES) return;
        reject(new Error('its answer is too long'));
        asking.destroy();
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else if (response.statusCode === UPGRADE_REQUIRED)
          reject(new Error('it speaks TLS only (cluster.tls is set there, and not on who asks)'));
        else reject(new Error(`it answers with HTTP status ${response.statusCode}`));
      });
      response.on('error', reject);
    });
    let connected = false;
    asking.on('socket', (socket) => socket.once('connect', () => (connected = true)));
    const timer = setTimeout(() => {
      const what = connected ? 'it took the connection, but did not answer' : 'no connection (packets are dropped?)';
      asking.destroy(new Error(`${what} within ${timeoutMs} ms`));
    }, timeoutMs);
    timer.unref();
    asking.on('error', reject);
    asking.on('close', () => clearTimeout(timer));
    asking.end();
  });
}

function parseAnswer(body: string): WhoamiAnswer | undefined {
  try {
    const { peer, instance, proof } = JSON.parse(body) as Partial<Record<string, unknown>>;
    if (typeof peer !== 'string' || typeof instance !== 'string' || typeof proof !== 'string') return undefined;
    if (!/^[\w-]{43}$/.test(proof)) return undefined;
    return { peer, instance, proof };
  } catch {
    return undefined;
  }
}
