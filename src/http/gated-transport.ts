import * as http from 'node:http';
import * as https from 'node:https';
import { isIPv6, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, createSecureContext, rootCertificates } from 'node:tls';
import { HttpProxyAgent, HttpsProxyAgent } from 'hpagent';
import { ProxyAgent, type Dispatcher } from 'undici';
import type { AddressGate } from './address-gate.ts';
import type { TlsSettings } from './bulk-connection.ts';
import { undiciReader, type BulkReader } from './bulk-reader.ts';
import { ConnectTimeout } from './connect-timeout.ts';
import { DirectReader } from './direct-reader.ts';

/** Azure's and GitLab's tokens and signed URLs come to tens of KiB in one header; Node's default is 16 KiB for all. In bytes. */
export const MAX_HEADER_BYTES = 64 * 1024;
/** Idle connections to an origin are kept this long, unless it says less. */
const KEEP_IDLE_MS = 60_000;
const KEEP_IDLE_MAX_MS = 600_000;
/** Connections to one origin, for each of the two clients. */
const MAX_CONNECTIONS = 64;
const MAX_IDLE_CONNECTIONS = 16;

export interface TransportOptions {
  readonly gate: AddressGate;
  /** A TCP or TLS connection that takes longer is given up, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Certificates (PEM) to trust besides the public authorities. */
  readonly ca?: string | undefined;
  /** Takes any certificate. */
  readonly insecure: boolean;
  /** `http(s)://[user:password@]host:port`: all connections go through it, by CONNECT. */
  readonly egressProxy?: string | undefined;
}

/** Every way out to one upstream: agents for node's http (got, http-proxy), a reader for large bodies, all behind the gate. */
export interface GatedTransport {
  agent(protocol: string): http.Agent;
  readonly reader: BulkReader;
  /** Ends the connections that nobody uses just now. */
  closeIdle(): void;
  /** Ends every connection, those in use too. */
  close(): Promise<void>;
}

export function gatedTransport(options: TransportOptions): GatedTransport {
  const way: Way = { ...options, tls: tlsOptions(options) };
  const { egressProxy } = options;
  const agents = egressProxy === undefined ? directAgents(way) : proxiedAgents(way, egressProxy);
  const reader = egressProxy === undefined ? new DirectReader(way) : undiciReader(proxiedDispatcher(way, egressProxy));
  return {
    agent: (protocol) => (protocol === 'https:' ? agents.https : agents.http),
    reader,
    closeIdle() {
      for (const agent of [agents.http, agents.https]) {
        for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
      }
      reader.closeIdle();
    },
    async close() {
      agents.http.destroy();
      agents.https.destroy();
      await reader.close();
    },
  };
}

interface Agents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

interface Way extends TransportOptions {
  readonly tls: TlsSettings;
}

/** One context for all connections: reading 150 certificates takes milliseconds. */
function tlsOptions({ ca, insecure }: TransportOptions): TlsSettings {
  const context = ca === undefined ? {} : { secureContext: createSecureContext({ ca: [...rootCertificates, ca] }) };
  return { ...context, rejectUnauthorized: !insecure };
}

function agentOptions({ tls }: Way): https.AgentOptions {
  return {
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    maxFreeSockets: MAX_IDLE_CONNECTIONS,
    scheduling: 'lifo',
    ...tls,
  };
}

/** What `createConnection` is given; node's types leave the host out. */
type ConnectTo = http.ClientRequestArgs & { host?: string | null };
type Connected = (error: Error | null, socket: Duplex) => void;

/** The agent's error comes by the callback: a throw would come out of whoever makes the request, http-proxy in the first place. */
function isRefused(gate: AddressGate, to: ConnectTo, callback: Connected | undefined): boolean {
  try {
    gate.checkHost(to.host ?? '');
    return false;
  } catch (error) {
    process.nextTick(() => (callback as ((error: unknown) => void) | undefined)?.(error));
    return true;
  }
}

function directAgents(options: Way): Agents {
  const { gate, connectTimeoutMs } = options;
  const agents = { http: new http.Agent(agentOptions(options)), https: new https.Agent(agentOptions(options)) };
  for (const [agent, connected] of [
    [agents.http, 'connect'],
    [agents.https, 'secureConnect'],
  ] as const) {
    const connect = agent.createConnection.bind(agent);
    agent.createConnection = (to: ConnectTo, callback?: Connected) => {
      if (isRefused(gate, to, callback)) return undefined;
      const socket = connect({ ...to, lookup: gate.lookup }, callback);
      if (socket) limitConnectTime(socket as Socket, connected, connectTimeoutMs);
      return socket;
    };
  }
  return agents;
}

function limitConnectTime(socket: Socket, connected: string, ms: number): void {
  const timer = setTimeout(() => socket.destroy(new ConnectTimeout(`no connection within ${ms} ms`)), ms);
  timer.unref();
  const stop = () => clearTimeout(timer);
  socket.once(connected, stop).once('close', stop);
}

function proxiedAgents(options: Way, proxy: string): Agents {
  const common = { ...agentOptions(options), proxy };
  const { connectTimeoutMs } = options;
  const agents = { http: new HttpProxyAgent(common), https: new HttpsProxyAgent(common) };
  for (const agent of [agents.http, agents.https]) {
    const connect = agent.createConnection.bind(agent);
    agent.createConnection = (to: ConnectTo, callback?: Connected) => {
      if (isRefused(options.gate, to, callback)) return undefined;
      return connect({ ...to, ...forTunnel(to.host ?? ''), timeout: connectTimeoutMs }, (error, socket) => {
        callback?.(error ? egressError(error, connectTimeoutMs) : null, socket);
      });
    };
  }
  return agents;
}

/** hpagent writes the host into its CONNECT line as it stands; the certificate is checked for the address without brackets. */
function forTunnel(host: string): Pick<https.RequestOptions, 'host' | 'checkServerIdentity'> {
  if (!isIPv6(host)) return { host };
  return { host: `[${host}]`, checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate) };
}

function egressError(error: Error, connectTimeoutMs: number): Error {
  if (error.message === 'Proxy timeout') {
    return new ConnectTimeout(`the egress proxy did not answer within ${connectTimeoutMs} ms`);
  }
  return new Error('by the egress proxy', { cause: error });
}

/** Here only what is written in the URL can be checked; names are resolved by the egress proxy, which has rules of its own. */
function proxiedDispatcher(options: Way, proxy: string): Dispatcher {
  const timeout = { timeout: options.connectTimeoutMs };
  const agent = new ProxyAgent({
    connections: MAX_CONNECTIONS,
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: KEEP_IDLE_MS,
    keepAliveMaxTimeout: KEEP_IDLE_MAX_MS,
    // The reader has its own limits (registry/http-read.ts): undici's count while it is paused.
    headersTimeout: 0,
    bodyTimeout: 0,
    uri: proxy,
    requestTls: { ...options.tls, ...timeout },
    proxyTls: timeout,
  });
  return agent.compose((dispatch) => (request, handler) => {
    options.gate.checkHost(new URL(String(request.origin)).hostname);
    return dispatch(request, handler);
  });
}
