/* Who speaks to a supernode and means it no good: without the join secret, and with it. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { digestOf, type Digest } from '../../../src/base/digest.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { readSecretFile } from '../../../src/p2p/protocol/secret-file.ts';
import { encode, type FromSupernode, type Message } from '../../../src/p2p/protocol/messages.ts';
import { REFUSAL_HEADER } from '../../../src/p2p/protocol/socket.ts';
import { PROTOCOL_VERSION } from '../../../src/p2p/protocol/version.ts';
import { SESSION_PATH } from '../../../src/p2p/supernode/upgrade.ts';
import type { Rig } from '../../e2e/support/rig.ts';
import type { Swarm } from '../../e2e/support/swarm.ts';
import { within } from '../../e2e/support/wait.ts';

const MiB = 1024 * 1024;
const ANSWER_MS = 20_000;
/** Connections that are opened at the same time. */
const AT_ONCE = 64;
/** What one member announces, and how much of it in one message. */
const BLOBS_PER_MEMBER = 20_000;
const BLOBS_PER_MESSAGE = 1000;
const MAX_MEMBERS = 40;
/** For a program that runs out of memory: it looks for room again and again before it gives up. */
const END_MS = 60_000;

/** Says one message of so many bytes, as long as the supernode listens; the code with which it closes the connection. */
export async function shout(swarm: Swarm, bytes: number): Promise<number> {
  const { ws, closed } = await open(swarm);
  const part = Buffer.alloc(MiB, 'x');
  for (let sent = 0; sent < bytes && ws.readyState === ws.OPEN; sent += MiB) {
    const fin = sent + MiB >= bytes;
    await new Promise<void>((resolve) => {
      ws.send(part, { binary: false, fin }, () => resolve());
    });
  }
  return within('the end of who says too much', ANSWER_MS, closed);
}

/** Says what is no message; the code for which it is refused. */
export async function babble(swarm: Swarm): Promise<string> {
  const { ws, closed, next } = await open(swarm);
  ws.send('{"t":"hello"');
  const { code } = await next('reject');
  await within('the end of who says nothing that is known', ANSWER_MS, closed);
  return code;
}

/**
 * Opens connections and says nothing on them, until one is refused, or `most` are open; they stay open until the rig is closed.
 * The code of the refusal.
 */
export async function occupy(rig: Rig, swarm: Swarm, most: number): Promise<string | undefined> {
  const sockets: Socket[] = [];
  rig.onClose(async () => {
    for (const socket of sockets) socket.destroy();
  });
  for (let opened = 0; opened < most; opened += AT_ONCE) {
    const answers = await within(
      'answers to those who say nothing',
      ANSWER_MS,
      Promise.all(Array.from({ length: AT_ONCE }, () => knock(swarm, sockets))),
    );
    const refused = answers.find((answer) => !answer.startsWith('HTTP/1.1 101 '));
    if (refused !== undefined) return new RegExp(`^${REFUSAL_HEADER}: (\\w+)`, 'm').exec(refused)?.[1] ?? refused;
  }
  return undefined;
}

/** Members announce blobs that nobody has, by the thousand, until the supernode has run out of memory; how it has ended. */
export async function exhaust(rig: Rig, swarm: Swarm): Promise<number | NodeJS.Signals | null> {
  const membership = new Membership((await readSecretFile(swarm.secretFile)).first);
  for (let member = 1; member <= MAX_MEMBERS && swarm.supernode.running; member += 1) {
    // The connection may break under it at any time: that is what it is here for.
    await announce(rig, swarm, membership, `eager-member-${member}`).catch(() => undefined);
  }
  return swarm.supernode.ended(END_MS);
}

async function announce(rig: Rig, swarm: Swarm, membership: Membership, peer: string): Promise<void> {
  const { ws, closed, next } = await open(swarm);
  rig.onClose(async () => ws.terminate());
  const { nonce: supernodeNonce, epoch } = await next('challenge');
  const nonce = randomBytes(16).toString('base64url');
  const self = { peer, instance: `${peer}-now`, addresses: [] };
  const proof = membership.sessionProof('peer', { supernodeNonce, peerNonce: nonce, epoch, ...self });
  const versions = { protocol: PROTOCOL_VERSION, version: '0.0.0' };
  ws.send(encode({ t: 'hello', ...versions, ...self, host: peer, zone: '', nonce, proof, time: Date.now() }));
  await next('welcome');
  for (let told = 0; told < BLOBS_PER_MEMBER; told += BLOBS_PER_MESSAGE) {
    const blobs = Array.from({ length: BLOBS_PER_MESSAGE }, (): [Digest, number, string] => {
      return [digestOf(randomBytes(16)), MiB, ''];
    });
    ws.send(encode({ t: 'announce', epoch, blobs }));
  }
  // What is answered comes behind what was said.
  ws.send(encode({ t: 'beat', n: 1, time: Date.now() }));
  await Promise.race([next('beat'), closed]);
}

interface Talk {
  readonly ws: WebSocket;
  /** The code with which it is closed. */
  readonly closed: Promise<number>;
  /** The next message of that type. */
  readonly next: <T extends FromSupernode['t']>(type: T) => Promise<Message<FromSupernode, T>>;
}

async function open({ url }: Swarm): Promise<Talk> {
  const ws = new WebSocket(`${url.replace('http', 'ws')}${SESSION_PATH}`);
  const got: FromSupernode[] = [];
  const closed = new Promise<number>((resolve) => {
    ws.once('close', resolve);
  });
  ws.on('message', (data: Buffer) => got.push(JSON.parse(data.toString()) as FromSupernode));
  await once(ws, 'open');
  ws.on('error', () => undefined);
  const next = async <T extends FromSupernode['t']>(type: T): Promise<Message<FromSupernode, T>> => {
    for (;;) {
      const at = got.findIndex(({ t }) => t === type);
      if (at !== -1) return got.splice(at, 1)[0] as Message<FromSupernode, T>;
      if (ws.readyState === ws.CLOSED) throw new Error(`the connection was closed before "${type}"`);
      await within(`"${type}" of the supernode`, ANSWER_MS, Promise.race([once(ws, 'message'), closed]));
    }
  };
  return { ws, closed, next };
}

/** Asks for a session: the head of the answer. */
function knock({ url }: Swarm, sockets: Socket[]): Promise<string> {
  const { hostname, port, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  sockets.push(socket);
  const key = randomBytes(16).toString('base64');
  const fields = [`Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket', `Sec-WebSocket-Key: ${key}`];
  socket.write([`GET ${SESSION_PATH} HTTP/1.1`, ...fields, 'Sec-WebSocket-Version: 13', '', ''].join('\r\n'));
  return new Promise((resolve) => {
    let head = '';
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(head));
    socket.on('data', (data) => {
      if (head.includes('\r\n\r\n')) return;
      head += data.toString('latin1');
      if (head.includes('\r\n\r\n')) resolve(head);
    });
  });
}
