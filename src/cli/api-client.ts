import { Type, type Static, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Agent, request } from 'undici';
import { apiTls, tlsFault, type ApiTls } from '../app/cluster-tls.ts';
import { apiAuthorization } from '../app/operator.ts';
import { describeError } from '../base/errors.ts';
import { formatTime, MiB } from '../base/units.ts';
import type { Config } from '../config/config.ts';
import { ApiRefused, NoSupernode, ServiceBadAnswer, ServiceRefused, ServiceUnreachable } from './errors.ts';

/** For the whole of it: connect, ask, answer. */
const TIMEOUT_MS = 5000;
/** Some hundred bytes a blob and holder; what is longer is nothing that a person reads. */
const MAX_ANSWER_BYTES = 64 * MiB;
const UNAUTHORIZED = 401;
/** Of a service's own words in an error. */
const MAX_SAID_CHARACTERS = 200;
/** How a service of Hawker says no. */
const REFUSAL = Type.Object({ code: Type.String(), message: Type.String(), todo: Type.String() });

/** A running service: where it is, what it is, and the setting that names it. */
export interface ServiceAddress {
  readonly url: string;
  readonly what: 'supernode' | 'proxy';
  readonly setting: string;
  /** The `Authorization` for a service that wants one; it is read, and sent, only where it does. */
  readonly authorization?: () => Promise<string | undefined>;
  /** The cluster's own certificates, for https. */
  readonly tls?: () => Promise<ApiTls | undefined>;
}

/**
 * One look at a running service: what it answers, in the shape of `schema`. Rejects with SERVICE_UNREACHABLE where nothing
 * answers within 5 s, API_REFUSED where it is not for us, SERVICE_BAD_ANSWER where it is no JSON or not of that shape.
 */
export function askService<T extends TSchema>(
  address: ServiceAddress,
  path: string,
  schema: T,
  timeoutMs = TIMEOUT_MS,
): Promise<Static<T>> {
  return exchange(address, path, { method: 'GET', body: undefined }, schema, timeoutMs);
}

/**
 * Tells a running service to do something: what it answers. Rejects as `askService`, and with the service's own error (its code,
 * message and todo) where it says no.
 */
export function commandService<T extends TSchema>(
  address: ServiceAddress,
  path: string,
  body: object,
  schema: T,
  timeoutMs = TIMEOUT_MS,
): Promise<Static<T>> {
  return exchange(address, path, { method: 'POST', body: JSON.stringify(body) }, schema, timeoutMs);
}

/** Takes something away from a running service: what it answers. Rejects as `commandService`. */
export function deleteAt<T extends TSchema>(address: ServiceAddress, path: string, schema: T): Promise<Static<T>> {
  return exchange(address, path, { method: 'DELETE', body: undefined }, schema, TIMEOUT_MS);
}

interface Command {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly body: string | undefined;
}

async function exchange<T extends TSchema>(
  { url, what, setting, authorization, tls }: ServiceAddress,
  path: string,
  command: Command,
  schema: T,
  timeoutMs: number,
): Promise<Static<T>> {
  const full = new URL(path, url).href;
  const certificates = full.startsWith('https:') ? await tls?.() : undefined;
  const ask = (token?: string) =>
    send(full, command, { timeoutMs, authorization: token, tls: certificates }).catch((cause: unknown) => {
      if (cause instanceof ServiceBadAnswer) throw cause;
      throw new ServiceUnreachable({ url, what, setting, why: whyNot(cause, timeoutMs) });
    });
  let { status, body } = await ask();
  if (status === UNAUTHORIZED) {
    const token = await authorization?.();
    if (token !== undefined) ({ status, body } = await ask(token));
    if (status === UNAUTHORIZED) throw new ApiRefused({ url: full, sent: token !== undefined });
  }
  const value = parse(body);
  if (status < 200 || status > 299) {
    if (Value.Check(REFUSAL, value)) throw new ServiceRefused(value);
    const said = saidBy(value);
    throw new ServiceBadAnswer({ url: full, why: `HTTP status ${status}${said === '' ? '' : ` (${said})`}` });
  }
  if (value === undefined) throw new ServiceBadAnswer({ url: full, why: 'it is no JSON' });
  if (!Value.Check(schema, value)) {
    const at = Value.Errors(schema, value).First()!.path;
    throw new ServiceBadAnswer({ url: full, why: `it has another shape${at === '' ? '' : ` at ${at}`}` });
  }
  return value;
}

/** Asks the first supernode that answers, as proxies use the first that is up. Rejects with the first one's error. */
export function askSupernode<T extends TSchema>(
  config: Pick<Config, 'supernodes' | 'cluster'>,
  path: string,
  schema: T,
): Promise<{ url: string; answer: Static<T> }> {
  return firstSupernode(config, (address) => askService(address, path, schema));
}

/** What the first supernode that can be reached gives. Rejects with the first one's error. */
export async function firstSupernode<T>(
  config: Pick<Config, 'supernodes' | 'cluster'>,
  ask: (address: ServiceAddress) => Promise<T>,
): Promise<{ url: string; answer: T }> {
  let first: unknown;
  for (const url of config.supernodes) {
    try {
      return { url, answer: await ask(supernodeAt(url, config)) };
    } catch (error) {
      first ??= error;
      if (!(error instanceof ServiceUnreachable)) break;
    }
  }
  throw first ?? new NoSupernode({});
}

export function supernodeAt(url: string, config: Pick<Config, 'cluster'>): ServiceAddress {
  return {
    url,
    what: 'supernode',
    setting: 'supernodes',
    authorization: () => apiAuthorization(config),
    tls: () => apiTls(config),
  };
}

interface Asking {
  readonly timeoutMs: number;
  readonly authorization: string | undefined;
  readonly tls: ApiTls | undefined;
}

async function send(
  url: string,
  command: Command,
  { timeoutMs, authorization, tls }: Asking,
): Promise<{ status: number; body: string }> {
  const agent = new Agent({ pipelining: 0, connect: { ...tls } });
  try {
    const { statusCode, body } = await request(url, {
      dispatcher: agent,
      method: command.method,
      body: command.body ?? null,
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        ...(command.body !== undefined && { 'content-type': 'application/json' }),
        ...(authorization !== undefined && { authorization }),
      },
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) throw new ServiceBadAnswer({ url, why: 'it is too long' });
    }
    return { status: statusCode, body: Buffer.concat(chunks).toString() };
  } finally {
    void agent.destroy();
  }
}

function whyNot(error: unknown, timeoutMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${formatTime(timeoutMs)}`;
  return tlsFault(error) ?? describeError(error);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function saidBy(value: unknown): string {
  const { message } = (value ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message.slice(0, MAX_SAID_CHARACTERS) : '';
}
