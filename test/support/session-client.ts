import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import type { FromSupernode, Message } from '../../src/p2p/protocol/messages.ts';
import { SECRET, until } from './swarm-rig.ts';

const membership = new Membership(SECRET);

export type HelloFields = Record<string, unknown>;

/** A proxy that says what a test tells it to. */
export class Client {
  readonly ws: WebSocket;
  readonly got: FromSupernode[] = [];
  closedWith: number | undefined;

  constructor(t: Test, url: string, options: { headers?: Record<string, string>; path?: string } = {}) {
    this.ws = new WebSocket(`${url.replace('http', 'ws')}${options.path ?? '/api/v1/session'}`, options);
    this.ws.on('message', (data: Buffer) => this.got.push(JSON.parse(data.toString()) as FromSupernode));
    this.ws.on('close', (code) => {
      this.closedWith = code;
    });
    this.ws.on('error', () => undefined);
    t.teardown(() => this.ws.terminate());
  }

  async next<T extends FromSupernode['t']>(type: T): Promise<Message<FromSupernode, T>> {
    const find = () => this.got.find((message) => message.t === type);
    await until(`${type} comes`, () => find() !== undefined);
    const message = find()!;
    this.got.splice(this.got.indexOf(message), 1);
    return message as Message<FromSupernode, T>;
  }

  say(message: unknown): void {
    this.ws.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** Registers; fields of the hello may be replaced (undefined leaves one out). */
  async hello(fields: HelloFields = {}, prove = membership): Promise<string> {
    const { nonce, epoch } = await this.next('challenge');
    const peer = (fields['peer'] as string | undefined) ?? 'peer-a-00';
    const about = { peer, instance: 'instance-1', addresses: [] as string[], ...fields };
    const facts = { supernodeNonce: nonce, peerNonce: 'n'.repeat(22), epoch, ...about };
    const second = prove.second?.keys.sessionProof('peer', facts);
    this.say({
      t: 'hello',
      protocol: '1.0',
      version: '1.2.3',
      host: 'node',
      zone: '',
      nonce: 'n'.repeat(22),
      proof: prove.sessionProof('peer', facts),
      ...(second !== undefined && { secondProof: second }),
      time: 0,
      ...about,
    });
    return epoch;
  }

  async open(fields: HelloFields = {}): Promise<string> {
    const epoch = await this.hello(fields);
    await this.next('welcome');
    return epoch;
  }

  async refused(t: Test, kind: 'reject' | 'error', code: string): Promise<string> {
    const { code: got, message } = await this.next(kind);
    t.equal(got, code);
    await until('it is closed', () => this.closedWith !== undefined);
    return message;
  }
}
