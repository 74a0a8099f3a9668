import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { answerTo, parseQuery, type Zone } from './dns-message.ts';

/** A DNS server that answers as it is told, name by name; a name that it was told nothing of does not exist. */
export class DnsServer {
  readonly #socket: Socket;
  readonly #zones = new Map<string, Zone>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (query, { address, port }) => {
      const question = parseQuery(query);
      if (!question) return;
      const zone = this.#zones.get(question.name) ?? 'NXDOMAIN';
      if (zone !== 'silence') socket.send(answerTo(query, question, zone), port, address);
    });
  }

  /** Throws where the address cannot be had. */
  static async start(address: string, port = 53): Promise<DnsServer> {
    const socket = createSocket('udp4').bind(port, address);
    await once(socket, 'listening');
    return new DnsServer(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  set(name: string, zone: Zone): void {
    this.#zones.set(name, zone);
  }

  close(): void {
    this.#socket.close();
  }
}
