import t, { type Test } from 'tap';
import { asError } from '../../../src/base/errors.ts';
import { SupernodeTimeout, SupernodeUnreachable } from '../../../src/p2p/peer/session-errors.ts';
import type { Candidate } from '../../../src/p2p/peer/supernode-dial.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { ScriptedSupernode, turns } from '../../support/scripted-supernode.ts';
import { makeSession, Notes } from '../../support/swarm-rig.ts';

/** How an address behaves. `up`: a supernode that challenges and welcomes; `no welcome`: only challenges; `mute`: takes connections only. */
type Behaviour = 'up' | 'no welcome' | 'mute' | 'refused' | 'dropped' | 'full' | 'crashing';

/** A world of names and addresses that change under a test's hands. */
class World {
  readonly clock = new ManualClock();
  readonly names = new Map<string, string[] | 'hangs' | 'unknown'>();
  readonly addresses = new Map<string, Behaviour>();
  readonly epochs = new Map<string, string>();
  readonly log: string[] = [];
  readonly sessions: { address: string; supernode: ScriptedSupernode }[] = [];
  /** Now. */
  open = 0;
  mostOpen = 0;

  readonly candidates = async (url: string): Promise<Candidate[]> => {
    const name = this.names.get(url) ?? [url];
    if (name === 'unknown') throw new Error(`${url} is unknown`);
    if (name === 'hangs') {
      await this.clock.sleep(5000);
      throw new Error(`${url}: no answer`);
    }
    return name.map((address) => ({ address, open: (signal) => this.#connect(address, signal!) }));
  };

  at(address: string): ScriptedSupernode | undefined {
    return this.sessions.findLast((session) => session.address === address && !session.supernode.isClosed)?.supernode;
  }

  async #connect(address: string, signal: AbortSignal) {
    this.log.push(`${address} ${this.clock.monotonic()}`);
    this.open += 1;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    try {
      const how = this.addresses.get(address) ?? 'refused';
      if (how === 'refused') throw new SupernodeUnreachable({ address, why: 'ECONNREFUSED' });
      if (how === 'dropped') {
        await this.clock.sleep(5000, signal).catch((error: unknown) => {
          throw asError(error);
        });
        throw new SupernodeTimeout({ address, waitedMs: 5000 });
      }
      return this.#serve(address, how);
    } finally {
      this.open -= 1;
    }
  }

  #serve(address: string, how: Behaviour) {
    const supernode = new ScriptedSupernode(this.epochs.get(address) ?? 'epoch-01');
    this.sessions.push({ address, supernode });
    if (how === 'mute') return supernode.near;
    supernode.challenge({ time: this.clock.now() });
    if (how === 'no welcome') return supernode.near;
    void (async () => {
      while (!supernode.last('hello')) {
        await turns(1);
        if (supernode.isClosed) return;
      }
      if (how === 'full') supernode.say({ t: 'reject', code: 'FULL', message: 'full' });
      else supernode.welcome({ time: this.clock.now() });
      if (how === 'crashing') supernode.close();
      for (let seen = 0; !supernode.isClosed; await turns(1)) {
        const beat = supernode.last('beat');
        if (!beat || beat.n === seen || this.addresses.get(address) !== how) continue;
        seen = beat.n;
        supernode.say({ t: 'beat', n: seen, time: this.clock.now() });
      }
    })();
    return supernode.near;
  }
}

function start(t: Test, world: World, urls: string[], random = () => 0.999) {
  const notes = new Notes();
  const session = makeSession({ clock: world.clock, urls, candidates: world.candidates, random });
  session.start(notes);
  t.teardown(() => session.close());
  return { session, notes };
}

/** Lets time pass until it is so; how long that took. */
async function passing(world: World, what: string, condition: () => boolean, limitMs = 60_000): Promise<number> {
  const begun = world.clock.monotonic();
  while (!condition()) {
    if (world.clock.monotonic() - begun > limitMs) throw new Error(`it did not come to this: ${what}`);
    await world.clock.advance(50);
    await turns(4);
  }
  return world.clock.monotonic() - begun;
}

t.test('whatever else is in the list, a proxy registers within 10 s of its becoming possible', async (t) => {
  const before: Behaviour[] = ['dropped', 'mute', 'no welcome', 'refused', 'full'];
  for (const others of [...before.map((how) => [how]), before, ['dropped', 'dropped', 'mute', 'no welcome'] as const]) {
    for (const random of [() => 0, () => 0.5, () => 0.999]) {
      const world = new World();
      const urls = [...others.keys()].map((n) => `s${n}`);
      for (const [n, how] of others.entries()) world.addresses.set(`s${n}`, how);
      world.names.set('unknown', 'unknown').set('hangs', 'hangs');
      world.names.set('many', ['a', 'b', 'c', 'good', 'd', 'e']);
      for (const hole of ['a', 'b']) world.addresses.set(hole, 'dropped');
      world.addresses.set('c', 'mute').set('d', 'no welcome');
      const { session } = start(t, world, ['unknown', 'hangs', ...urls, 'many'], random);
      // Long enough for all waits to have grown as far as they do, and out of step with them.
      await world.clock.advance(37_300);
      world.addresses.set('good', 'up');
      const took = await passing(world, 'it is registered', () => session.link !== undefined, 10_000);
      t.equal(session.link!.address, 'good', `${others.join(', ')}: ${took} ms`);
      session.close();
    }
  }
});

t.test(
  'the first that is up is used, though a later one answers sooner; none of them gets a hello in vain',
  async (t) => {
    const world = new World();
    world.addresses.set('first', 'mute').set('second', 'up').set('third', 'up');
    const { session } = start(t, world, ['first', 'second', 'third']);
    await world.clock.advance(1000);
    await turns();
    t.equal(world.at('second')!.last('hello'), undefined, 'it is kept waiting');
    world.at('first')!.challenge();
    await turns();
    t.ok(world.at('first')!.last('hello'));
    const { supernode } = world.sessions.find(({ address }) => address === 'second')!;
    world.at('first')!.welcome();
    await turns();
    t.equal(session.link!.address, 'first');
    t.match(supernode.got, [{ t: 'bye' }]);
    t.match(session.status(), [{ state: 'connected', address: 'first' }, { state: 'standby' }, { state: 'standby' }]);
  },
);

t.test('a supernode is not kept waiting for longer than it waits', async (t) => {
  const world = new World();
  world.addresses.set('hangs', 'dropped').set('up', 'up');
  const { session } = start(t, world, ['hangs', 'up']);
  t.ok((await passing(world, 'it is registered', () => session.link !== undefined)) <= 3000);
});

t.test('a refusal begins the next at once, and does not make it spin', async (t) => {
  const world = new World();
  world.addresses.set('full', 'full');
  const { session } = start(t, world, ['down', 'full', 'also down'], () => 0);
  await world.clock.advance(0);
  await turns();
  t.same(world.log, ['down 0', 'full 0', 'also down 0']);
  await world.clock.advance(60_000);
  const tries = (address: string) => world.log.filter((line) => line.startsWith(`${address} `)).length;
  for (const address of ['down', 'full', 'also down']) {
    t.ok(tries(address) >= 10 && tries(address) <= 30, `${address}: ${tries(address)} tries in a minute`);
  }
  t.match(session.status()[1], { state: 'failed', code: 'FULL', step: 'welcome', todo: /start another one/ });
  t.ok(session.status()[1]!.attempts > 5);
  t.match(session.status()[1]!.lastAttempt, /^2026-01-01T00:0/);
  world.addresses.set('full', 'up');
  t.ok((await passing(world, 'it has room', () => session.link !== undefined)) <= 10_000);
});

t.test('every address of a name has its fault told, and the one that came furthest gives the code', async (t) => {
  const world = new World();
  world.names.set('name', ['a', 'b', 'c']);
  world.addresses.set('a', 'dropped').set('c', 'full');
  const { session } = start(t, world, ['name']);
  await passing(world, 'all have failed', () => session.status()[0]!.code !== '');
  const [status] = session.status();
  t.match(status, { state: 'failed', code: 'FULL', step: 'welcome', address: 'a, b, c' });
  t.match(status!.message, /no connection to a: .*dropped?|nothing came back/);
  t.match(status!.message, /no connection to b: ECONNREFUSED; the supernode at c refuses/);
});

t.test('addresses and names are never tried twice at the same time, nor forgotten', async (t) => {
  const world = new World();
  world.names.set('name', ['a', 'b', 'c', 'd']);
  for (const address of ['a', 'b', 'c', 'd']) world.addresses.set(address, 'dropped');
  const { session } = start(t, world, ['name'], () => 0);
  await world.clock.advance(60_000);
  t.equal(world.mostOpen, 4);
  world.names.set('name', ['z']);
  world.addresses.set('z', 'up');
  t.ok((await passing(world, 'the new address is found', () => session.link !== undefined)) <= 10_000);
  session.close();
  await turns();
  t.equal(world.clock.waiting, 0, 'no timer is left');
});

t.test('closing breaks off what is under way', async (t) => {
  const world = new World();
  world.names.set('slow', 'hangs');
  world.addresses.set('dropped', 'dropped').set('mute', 'mute').set('held', 'up');
  const { session, notes } = start(t, world, ['slow', 'dropped', 'mute', 'held']);
  await world.clock.advance(1500);
  await turns();
  session.close();
  await world.clock.advance(10_000);
  await turns();
  t.equal(world.clock.waiting, 0);
  t.equal(world.open, 0);
  t.ok(world.sessions.every(({ supernode }) => supernode.isClosed));
  t.equal(notes.opens, 0);
});

t.test('back to an earlier supernode: only to one that stays up, and without a moment between', async (t) => {
  const world = new World();
  world.addresses.set('second', 'up');
  const { session, notes } = start(t, world, ['first', 'second'], () => 0.5);
  await passing(world, 'it is with the second', () => session.link !== undefined);
  // One that comes and goes: another life at each look.
  world.addresses.set('first', 'up');
  let life = 10;
  for (let second = 0; second < 300; second += 1) {
    life += 1;
    world.epochs.set('first', `epoch-${life}`);
    await world.clock.advance(1000);
    await turns();
  }
  t.equal(session.link!.address, 'second');
  t.equal(notes.losses, 0);
  const looks = world.sessions.filter(({ address }) => address === 'first');
  t.ok(looks.length > 5 && looks.length <= 61, `${looks.length} looks in five minutes`);
  t.ok(looks.every(({ supernode }) => supernode.last('hello') === undefined && supernode.isClosed));
  const old = world.at('second')!;
  let wasWithout = false;
  await passing(world, 'it is with the first', () => {
    wasWithout ||= session.link === undefined;
    return session.link?.address === 'first';
  });
  await turns();
  t.notOk(wasWithout);
  t.same([notes.opens, notes.losses], [2, 1]);
  t.equal(old.got.at(-1)!.t, 'bye');
  t.ok(old.isClosed);
  t.match(session.status(), [
    { state: 'connected', address: 'first', code: '' },
    { state: 'standby', code: '', connectedSince: '' },
  ]);
});

t.test(
  'a name that moves while the old address is dead: the new one is found before the old session is given up',
  async (t) => {
    const world = new World();
    world.names.set('name', ['old']);
    world.addresses.set('old', 'up');
    const { session, notes } = start(t, world, ['name'], () => 0.5);
    await passing(world, 'it is registered', () => session.link !== undefined);
    await world.clock.advance(20_000);
    t.equal(notes.losses, 0);
    world.addresses.set('old', 'dropped').set('new', 'up');
    world.names.set('name', ['new']);
    const took = await passing(world, 'it has moved', () => session.link?.address === 'new');
    t.ok(took <= 9000, `${took} ms`);
    t.match(session.status()[0], { state: 'connected', address: 'new', attempts: 0 });
  },
);

t.test('a supernode that is slow for a moment keeps its session', async (t) => {
  const world = new World();
  world.addresses.set('x', 'up');
  const { session, notes } = start(t, world, ['x'], () => 0.5);
  await passing(world, 'it is registered', () => session.link !== undefined);
  const { link } = session;
  // It hangs, for old sessions and new ones.
  world.addresses.set('x', 'mute');
  await world.clock.advance(9000);
  await turns();
  t.ok(world.sessions.length > 1, 'it was looked for');
  world.addresses.set('x', 'up');
  await world.clock.advance(1000);
  await turns();
  t.equal(session.link, link);
  t.equal(notes.losses, 0);
  await world.clock.advance(60_000);
  t.equal(session.link, link);
  t.ok(world.sessions.filter(({ supernode }) => !supernode.isClosed).length === 1, 'and nothing else is open');
});

t.test('a supernode that takes every session and drops it is not hammered', async (t) => {
  const world = new World();
  world.addresses.set('x', 'crashing');
  const { session } = start(t, world, ['x'], () => 0.5);
  const begun = world.clock.monotonic();
  await passing(world, 'two minutes pass', () => world.clock.monotonic() - begun >= 120_000, 200_000);
  const perMinute = world.sessions.length / 2;
  t.ok(perMinute >= 8 && perMinute <= 30, `${perMinute} sessions a minute`);
  session.close();
});
