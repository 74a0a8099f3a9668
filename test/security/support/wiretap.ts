import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Stands before a port and keeps all that is sent either way: what somebody on the network sees. */
export class Wiretap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #chunks: Buffer[] = [];
  readonly #target: () => string | undefined;
  #isClosed = false;

  private constructor(target: () => string | undefined) {
    this.#target = target;
    this.#server = createServer((near) => {
      const target = this.#isClosed ? undefined : this.#target();
      if (target === undefined) {
        near.destroy();
        return;
      }
      const [host, port] = target.split(':') as [string, string];
      const far = connect(Number(port), host);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (chunk: Buffer) => {
          // Heads and messages; the bytes of blobs are none of them.
          if (chunk.length < 8192) this.#chunks.push(chunk);
          to.write(chunk);
        });
        from.on('error', () => to.destroy()).on('close', () => to.destroy());
        from.on('end', () => to.end());
      }
    });
  }

  /** `target` is asked for at each connection; undefined: nobody is there yet. */
  static async start(target: () => string | undefined): Promise<Wiretap> {
    const tap = new Wiretap(target);
    tap.#server.listen(0, '127.0.0.1');
    await once(tap.#server, 'listening');
    return tap;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What the parties sent; the masks of WebSocket frames (RFC 6455, 5.3) are off. */
  heard(): string {
    return this.#chunks.map((chunk) => `${chunk.toString('latin1')}\n${unmasked(chunk)}`).join('\n');
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

function unmasked(chunk: Buffer): string {
  let text = '';
  for (let at = 0; at + 6 < chunk.length;) {
    const second = chunk[at + 1]!;
    const short = second & 0x7f;
    if ((second & 0x80) === 0 || short === 127) return text;
    const length = short === 126 ? chunk.readUInt16BE(at + 2) : short;
    const mask = chunk.subarray(at + (short === 126 ? 4 : 2)).subarray(0, 4);
    const start = at + (short === 126 ? 8 : 6);
    const bytes = chunk.subarray(start, start + length);
    text += `${bytes.map((byte, index) => byte ^ mask[index % 4]!).toString()}\n`;
    at = start + length;
  }
  return text;
}
