import type { IncomingHttpHeaders } from 'node:http';
import got, { type CancelableRequest, type Method, type Response } from 'got';
import { MAX_HEADER_BYTES, type GatedTransport } from '../http/gated-transport.ts';
import { codingOf, decodeBody } from './content-encoding.ts';
import { OriginBadResponse } from './errors.ts';
import { failureOfTransport, type Errand } from './failures.ts';
import { USER_AGENT, type OriginLimits } from './limits.ts';
import type { RequestCounter } from './request-counter.ts';
import { secretsIn } from './sent-secrets.ts';

export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers?: Record<string, string>;
  readonly form?: Record<string, string>;
  /** A body beyond it is an error. */
  readonly maxBytes: number;
  readonly errand: Errand;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Decoded. */
  readonly body: Buffer;
  /** Body bytes that came over the wire. */
  readonly received: number;
  /** What was sent and must not come up in an error; empty where there is none to tell of. */
  readonly secrets: readonly string[];
}

/** One upstream's client for what is small: manifests, tokens, questions. One request a call: no redirects, no retries. */
export class Client {
  readonly #transport: GatedTransport;
  readonly #limits: OriginLimits;
  readonly #counter: RequestCounter;

  constructor(transport: GatedTransport, limits: OriginLimits, counter: RequestCounter) {
    this.#transport = transport;
    this.#limits = limits;
    this.#counter = counter;
  }

  /** Any status is an answer. Throws OriginErrors, and the signal's reason. */
  async ask(ask: Ask): Promise<Answer> {
    let response: Response<Buffer>;
    try {
      response = await this.#send(ask);
      this.#counter.request(ask.method, response.statusCode);
    } catch (error) {
      this.#counter.request(ask.method, 'error');
      ask.signal?.throwIfAborted();
      throw failureOfTransport(ask.errand, error);
    }
    const { statusCode: status, headers, rawBody } = response;
    const body = ask.method === 'HEAD' ? rawBody : await decoded(ask, headers, rawBody);
    return { status, headers, body, received: rawBody.length, secrets: status < 400 ? [] : secretsIn(ask) };
  }

  async #send(ask: Ask): Promise<Response<Buffer>> {
    const { headersMs, stallMs } = this.#limits;
    const request = got(ask.url, {
      method: ask.method as Method,
      // Asked for once and for all: a digest is over the bytes themselves, and Harbor's HEAD and GET differ when compressed.
      headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...ask.headers },
      ...(ask.form ? { form: ask.form } : {}),
      agent: { http: this.#transport.agent('http:'), https: this.#transport.agent('https:') as never },
      decompress: false,
      followRedirect: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      responseType: 'buffer',
      retry: { limit: 0 },
      throwHttpErrors: false,
      timeout: { response: headersMs, request: headersMs + stallMs },
      ...(ask.signal ? { signal: ask.signal } : {}),
    });
    return await this.#capped(ask, request);
  }

  async #capped(ask: Ask, request: CancelableRequest<Response<Buffer>>): Promise<Response<Buffer>> {
    let tooLarge = false;
    void request.on('downloadProgress', ({ transferred }) => {
      if (transferred <= ask.maxBytes || tooLarge) return;
      tooLarge = true;
      request.cancel();
    });
    try {
      return await request;
    } catch (error) {
      if (tooLarge) throw new OriginBadResponse({ ...ask.errand, seen: `a body of more than ${ask.maxBytes} bytes` });
      throw error;
    }
  }
}

/** Some send a `Content-Encoding` although none was asked for. */
async function decoded(ask: Ask, headers: IncomingHttpHeaders, body: Buffer): Promise<Buffer> {
  const coding = codingOf(headers['content-encoding']);
  if (coding === undefined || body.length === 0) return body;
  const bad = (seen: string, cause?: unknown) => new OriginBadResponse({ ...ask.errand, seen }, { cause });
  if (coding === 'unknown') throw bad(`the Content-Encoding ${headers['content-encoding']?.slice(0, 40)}`);
  try {
    return await decodeBody(body, coding, ask.maxBytes);
  } catch (error) {
    throw bad(`a body that does not decode as ${coding}, or to more than ${ask.maxBytes} bytes`, error);
  }
}
