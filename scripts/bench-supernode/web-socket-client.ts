import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

const TEXT = 0x81;
const CLOSE_OPCODE = 0x8;
const TEXT_OPCODE = 0x1;

/**
 * The client's side of a WebSocket (RFC 6455), as far as a load generator needs it: it costs a fraction of what a real client
 * does, so that the machine's other core can load a supernode that has one to itself. Its frames are masked as a client's have
 * to be: the server pays for that.
 */
export class WebSocketClient {
  readonly #socket: Socket;
  readonly #mask = randomBytes(4);
  readonly #onMessage: (text: string) => void;
  #pending: Buffer | undefined;
  #upgraded = false;

  constructor(
    options: { port: number; path: string; localAddress?: string },
    listener: { message: (text: string) => void; closed: () => void },
  ) {
    const { port, path } = options;
    this.#onMessage = listener.message;
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('close', listener.closed);
    this.#socket.on('error', () => undefined);
    const key = randomBytes(16).toString('base64');
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
  }

  send(text: string): void {
    const length = Buffer.byteLength(text);
    const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
    const frame = Buffer.allocUnsafe(header + 4 + length);
    frame[0] = TEXT;
    if (header === 2) frame[1] = 0x80 | length;
    else if (header === 4) {
      frame[1] = 0x80 | 126;
      frame.writeUInt16BE(length, 2);
    } else {
      frame[1] = 0x80 | 127;
      frame.writeBigUInt64BE(BigInt(length), 2);
    }
    this.#mask.copy(frame, header);
    const start = header + 4;
    frame.write(text, start);
    for (let at = 0; at < length; at += 1) frame[start + at]! ^= this.#mask[at & 3]!;
    this.#socket.write(frame);
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    let data = this.#pending ? Buffer.concat([this.#pending, chunk]) : chunk;
    this.#pending = undefined;
    if (!this.#upgraded) {
      const end = data.indexOf('\r\n\r\n');
      if (end >= 0) {
        this.#upgraded = true;
        if (!data.subarray(0, end).toString('latin1').startsWith('HTTP/1.1 101')) this.#socket.destroy();
        data = data.subarray(end + 4);
      }
    }
    let at = 0;
    while (this.#upgraded) {
      const frame = frameAt(data, at);
      if (!frame) break;
      at = frame.end;
      if (frame.opcode === TEXT_OPCODE) this.#onMessage(data.toString('utf8', frame.start, frame.end));
      else if (frame.opcode === CLOSE_OPCODE) this.#socket.destroy();
    }
    if (at < data.length) this.#pending = data.subarray(at);
  }
}

/** The whole frame that begins at `at`; undefined where it is not all there. */
function frameAt(data: Buffer, at: number): { opcode: number; start: number; end: number } | undefined {
  if (data.length < at + 2) return undefined;
  let length = data[at + 1]! & 0x7f;
  let start = at + 2;
  if (length === 126) {
    if (data.length < at + 4) return undefined;
    length = data.readUInt16BE(at + 2);
    start = at + 4;
  } else if (length === 127) {
    if (data.length < at + 10) return undefined;
    length = Number(data.readBigUInt64BE(at + 2));
    start = at + 10;
  }
  const end = start + length;
  return data.length < end ? undefined : { opcode: data[at]! & 0xf, start, end };
}
