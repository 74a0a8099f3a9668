import type { FromSupernode, Message } from '../../../src/p2p/protocol/messages.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { socketPair, type SessionSocket, type SocketListener } from '../../../src/p2p/protocol/socket.ts';
import { factsOf, type Hello } from '../../../src/p2p/supernode/admission.ts';
import type { SwarmEvent } from '../../../src/p2p/supernode/events.ts';
import type { Registration, RosterEvent } from '../../../src/p2p/supernode/roster-events.ts';
import { Session, type SessionHost } from '../../../src/p2p/supernode/session.ts';
import { Sessions } from '../../../src/p2p/supernode/sessions.ts';
import { SECRET } from '../../support/swarm-rig.ts';

export const EPOCH = 'epoch-of-test';
export const PEER_NONCE = 'n'.repeat(22);

/** Lets arrive what was sent. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** A proxy's end of a session, which notes what it is told. */
export class FarEnd implements SocketListener {
  readonly socket: SessionSocket;
  closedWith: string | undefined;
  #got: FromSupernode[] = [];

  constructor(socket: SessionSocket) {
    this.socket = socket;
    socket.listen(this);
  }

  message(text: string): void {
    this.#got.push(JSON.parse(text) as FromSupernode);
  }

  closed(code: number, reason: string): void {
    this.closedWith = `${code} ${reason}`;
  }

  /** What has come since. */
  async take(): Promise<FromSupernode[]> {
    await turn();
    return this.#got.splice(0);
  }

  async next<T extends FromSupernode['t']>(type: T): Promise<Message<FromSupernode, T>> {
    const found = (await this.take()).find(({ t }) => t === type);
    if (!found) throw new Error(`no ${type} has come`);
    return found as Message<FromSupernode, T>;
  }

  say(message: unknown): void {
    this.socket.send(JSON.stringify(message));
  }
}

/** Sessions over sockets within this process, without a supernode around them: what they would tell it is noted. */
export class SessionRig {
  readonly sessions = new Sessions((session) => this.heard.push(`${session.id} is too slow`));
  /** What a life of the supernode would have heard. */
  readonly heard: string[] = [];
  readonly swarmEvents: SwarmEvent[] = [];
  readonly rosterEvents: RosterEvent[] = [];
  readonly refused: string[] = [];
  now = 1000;
  readonly host: SessionHost = {
    epoch: EPOCH,
    now: () => this.now,
    hello: ({ id }) => this.heard.push(`${id} says hello`),
    heard: () => undefined,
    beat: ({ id }) => this.heard.push(`${id} beats`),
    swarm: (event) => this.swarmEvents.push(event),
    peerOf: (number) => (number < 100 ? `peer-${number}` : undefined),
    dialed: ({ id }) => this.heard.push(`${id} has dialed`),
    test: ({ id }) => this.heard.push(`${id} asks for a test`),
    preheating: ({ id }) => this.heard.push(`${id} preheats`),
    refuse: (session, code, message) => this.refuse(session, code, message),
    closed: ({ id }, goodbye) => this.heard.push(`${id} is closed${goodbye ? ', said goodbye' : ''}`),
    fault: (error) => {
      throw error;
    },
  };
  #last = 0;

  readonly tell = (event: RosterEvent): void => void this.rosterEvents.push(event);
  readonly refuse: SessionHost['refuse'] = ({ id }, code, message) => {
    this.refused.push(`${id} ${code}: ${message}`);
  };

  /** A session that has said nothing yet. */
  connect(): { session: Session; far: FarEnd } {
    const [near, farSocket] = socketPair();
    const far = new FarEnd(farSocket);
    this.#last += 1;
    const facts = { id: this.#last, from: `10.0.0.${this.#last}`, socket: near, nonce: 's'.repeat(22), now: this.now };
    const session = new Session(this.host, facts);
    near.listen(session);
    this.sessions.add(session);
    return { session, far };
  }

  /** A session that is open. */
  open(peer: string): { session: Session; far: FarEnd } {
    const pair = this.connect();
    pair.session.open(peer);
    this.sessions.opened(pair.session);
    return pair;
  }
}

/** A hello as a proxy with the secrets of `member` would answer that challenge. */
export function helloOf(nonce: string, fields: Partial<Hello> = {}, member = new Membership(SECRET)): Hello {
  const { peer = 'peer-a-00', instance = 'instance-1', addresses = ['10.0.0.9:65002'] } = fields;
  const facts = factsOf({ nonce: PEER_NONCE, peer, instance, addresses }, EPOCH, nonce);
  const second = member.second?.keys.sessionProof('peer', facts);
  return {
    t: 'hello',
    protocol: '1.0',
    version: '1.2.3',
    peer,
    instance,
    host: 'node',
    addresses,
    zone: 'z',
    nonce: PEER_NONCE,
    proof: member.sessionProof('peer', facts),
    ...(second !== undefined && { secondProof: second }),
    time: 0,
    ...fields,
  };
}

export function registration(peer: string, more: Partial<Registration> = {}): Registration {
  return {
    peer,
    instance: `${peer}-1`,
    host: `host-of-${peer}`,
    addresses: [`${peer}:65002`],
    zone: 'z',
    version: '1.2.3',
    protocol: '1.0',
    uploadSlots: 4,
    clockSkewMs: 0,
    ...more,
  };
}
