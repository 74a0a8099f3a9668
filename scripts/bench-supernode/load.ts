/*
 * A load generator, in a process of its own: `load.js <port> <peers> <pieces> <together> <blobs>`. Makes that many members and answers
 * what it is asked for over the channel to its parent.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { Member, type Counts } from './member.ts';
import { BENCH_SECRET } from './processes.ts';

const HEARTBEAT_MS = 5000;
const BEAT_EVERY_MS = 50;
/** Registrations under way at the same time. */
const OPENING = 64;
/** A piece of each origin read comes so often. */
const ORIGIN_PIECE_MS = 5;

const [port = 0, peers = 0, pieces = 0, together = 1, blobs = 0] = process.argv.slice(2).map(Number);
const membership = new Membership(BENCH_SECRET);
const members = new Map<string, Member>();
const counts: Counts = { open: 0, closed: 0, reports: 0, messages: 0, assigned: 0, blobs: 0, announced: 0 };

/** Every member has an address in 127.0.0.0/8, all of them one server. */
const whoami = createServer((request, response) => {
  const member = members.get(request.socket.localAddress ?? '');
  const nonce = new URL(request.url ?? '', 'http://member').searchParams.get('nonce') ?? '';
  if (!member) {
    request.socket.destroy();
    return;
  }
  const { peer, instance } = member;
  response.end(JSON.stringify({ peer, instance, proof: membership.whoamiProof({ nonce, peer, instance }) }));
});

function hostOf(number: number): string {
  return `127.1.${number >> 8}.${number & 255}`;
}

async function register(): Promise<void> {
  await new Promise<void>((resolve) => {
    whoami.listen(0, '0.0.0.0', resolve);
  });
  beat();
  const addressOf = (host: string) => `${host}:${(whoami.address() as AddressInfo).port}`;
  for (let number = 0; number < peers; number += 1) {
    const host = hostOf(number);
    const options = {
      port,
      membership,
      number,
      addresses: [addressOf(host)],
      pieces,
      together: together === 1,
      counts,
      blobs,
    };
    members.set(host, new Member(options));
    while (members.size - counts.open > OPENING) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const isDone = () => counts.open === peers && (blobs === 0 || counts.announced === peers);
  while (!isDone()) {
    // Members do not come back: nobody is to wait for them.
    if (counts.closed > 0)
      throw new Error(`${counts.closed} of ${peers} sessions were closed: the machine is too busy`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Every member beats once in `HEARTBEAT_MS`, spread evenly over that time. */
function beat(): void {
  let turn = members.values();
  setInterval(() => {
    for (let left = Math.ceil((members.size * BEAT_EVERY_MS) / HEARTBEAT_MS); left > 0; left -= 1) {
      const next = turn.next();
      if (next.done) turn = members.values();
      else next.value.beat();
    }
  }, BEAT_EVERY_MS);
}

function start(): void {
  for (const member of members.values()) member.want();
  setInterval(() => {
    for (const member of members.values()) member.readOrigin();
  }, ORIGIN_PIECE_MS);
}

process.on('message', (command: 'register' | 'start' | 'counts' | 'stop') => {
  if (command === 'stop') process.exit(0);
  if (command === 'start') start();
  if (command === 'register') void register().then(() => process.send!(counts));
  else process.send!(counts);
});
