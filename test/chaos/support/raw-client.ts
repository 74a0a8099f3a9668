import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Hawker } from '../../e2e/support/hawker.ts';

/** A connection of a client that says what it likes. */
export class RawClient {
  readonly socket: Socket;
  /** What came, while it is kept. */
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #keeps: boolean;

  private constructor(socket: Socket, keeps: boolean) {
    this.socket = socket;
    this.#keeps = keeps;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#keeps) this.#chunks.push(chunk);
    });
  }

  static async open({ address }: Hawker, { keeps = true } = {}): Promise<RawClient> {
    const [host = '', port] = address.split(':');
    const client = new RawClient(connect({ host, port: Number(port) }), keeps);
    await once(client.socket, 'connect');
    return client;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Until the node has closed it, or nothing has come for so long. */
  async over(quietMs: number): Promise<void> {
    const quiet = new AbortController();
    const timer = setTimeout(() => quiet.abort(), quietMs);
    this.socket.on('data', () => timer.refresh());
    if (!this.socket.destroyed) await once(this.socket, 'close', { signal: quiet.signal }).catch(() => undefined);
    clearTimeout(timer);
  }

  /** With a FIN, or a RST. */
  hangUp(how: 'fin' | 'reset' = 'fin'): void {
    if (how === 'reset') this.socket.resetAndDestroy();
    else this.socket.destroy();
  }
}

/** An answer as it stands on the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/**
 * The answers in what came on one connection; throws where it is anything else. `methods`: of the requests, in order: what follows
 * HEAD has no body.
 */
export function answersIn(received: Buffer, methods: readonly string[] = []): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = received; rest.length > 0;) {
    const { answer, length } = firstAnswer(rest, methods[answers.length] === 'HEAD');
    answers.push(answer);
    rest = rest.subarray(length);
  }
  return answers;
}

function firstAnswer(bytes: Buffer, isHead: boolean): { answer: RawAnswer; length: number } {
  const end = bytes.indexOf('\r\n\r\n');
  const [line = '', ...fields] = bytes.toString('latin1', 0, Math.max(0, end)).split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3}) [ -~]+$/.exec(line)?.[1];
  const pairs = fields.map((field) => /^([\w-]+): ([ -~]*)$/.exec(field));
  if (status === undefined || pairs.includes(null)) throw new Error(`no answer: ${bytes.toString('latin1', 0, 200)}`);
  const headers = new Map(pairs.map((pair) => [pair![1]!.toLowerCase(), pair![2]!]));
  const hasNone = isHead || status === '304' || status === '204';
  const body = hasNone ? { bytes: Buffer.alloc(0), length: 0 } : bodyOf(headers, bytes.subarray(end + 4));
  return { answer: { status: Number(status), headers, body: body.bytes }, length: end + 4 + body.length };
}

function bodyOf(headers: ReadonlyMap<string, string>, rest: Buffer): { bytes: Buffer; length: number } {
  if (headers.get('transfer-encoding') === 'chunked') return chunkedOf(rest);
  const length = Number(headers.get('content-length') ?? Number.NaN);
  if (!(rest.length >= length)) throw new Error(`a body of ${rest.length} bytes, ${length} were said`);
  return { bytes: rest.subarray(0, length), length };
}

function chunkedOf(rest: Buffer): { bytes: Buffer; length: number } {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const end = rest.indexOf('\r\n', at);
    const size = Number.parseInt(rest.toString('latin1', at, Math.max(at, end)), 16);
    if (end === -1 || Number.isNaN(size)) throw new Error('a chunked body that breaks off');
    if (size === 0) return { bytes: Buffer.concat(parts), length: end + 4 };
    parts.push(rest.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}
