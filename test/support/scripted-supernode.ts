import { Membership } from '../../src/p2p/protocol/membership.ts';
import {
  encode,
  parseFromProxy,
  type FromProxy,
  type FromSupernode,
  type Message,
} from '../../src/p2p/protocol/messages.ts';
import { socketPair, type SessionSocket } from '../../src/p2p/protocol/socket.ts';
import { SECRET } from './swarm-rig.ts';

const membership = new Membership(SECRET);

/** The supernode's end of one session, which does as a test tells it. */
export class ScriptedSupernode {
  readonly got: FromProxy[] = [];
  /** What the proxy speaks to. */
  readonly near: SessionSocket;
  isClosed = false;
  readonly #far: SessionSocket;
  readonly #epoch: string;
  readonly #nonce = 'n'.repeat(22);

  constructor(epoch = 'epoch-01') {
    this.#epoch = epoch;
    [this.near, this.#far] = socketPair();
    this.#far.listen({
      message: (text) => void this.got.push(parseFromProxy(text)),
      closed: () => {
        this.isClosed = true;
      },
    });
  }

  say(message: FromSupernode): void {
    this.#far.send(encode(message));
  }

  challenge(fields: Partial<Message<FromSupernode, 'challenge'>> = {}): void {
    this.say({
      t: 'challenge',
      nonce: this.#nonce,
      epoch: this.#epoch,
      protocol: '1.0',
      version: '1.2.3',
      membership: true,
      time: 0,
      ...fields,
    });
  }

  /** Once there was a hello. */
  welcome({ heartbeatMs = 5000, time = 0 }: { heartbeatMs?: number; time?: number } = {}): void {
    const { nonce, peer, instance, addresses } = this.last('hello')!;
    const facts = { supernodeNonce: this.#nonce, peerNonce: nonce, epoch: this.#epoch, peer, instance, addresses };
    const proof = membership.sessionProof('supernode', facts);
    this.say({ t: 'welcome', epoch: this.#epoch, heartbeatMs, proof, time, peers: [] });
  }

  last<T extends FromProxy['t']>(type: T): Message<FromProxy, T> | undefined {
    return this.got.findLast((message) => message.t === type) as Message<FromProxy, T> | undefined;
  }

  close(code = 1001, reason = ''): void {
    this.#far.close(code, reason);
  }
}

/** Lets what was said arrive, and what follows from it. */
export async function turns(count = 8): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
