import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { createLogger } from '../../../src/base/log.ts';
import { PeerUnreachable } from '../../../src/p2p/peer/errors.ts';
import {
  ASK_MS,
  FAILED_MS,
  KnownNeighbours,
  MAX_ASKED,
  MAX_ASKS,
  MAX_ASKS_PER_BLOB,
  MAX_HOLDERS,
} from '../../../src/p2p/peer/neighbours.ts';
import type { PeerTarget } from '../../../src/p2p/protocol/coordinator.ts';
import type { KnownPeer } from '../../../src/p2p/protocol/messages.ts';
import { settle } from '../../support/coordinator-conformance.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { targetOf } from '../../support/scripted-neighbours.ts';

const digest = digestOf('a blob');

function knownPeer(id: string, zone = ''): KnownPeer {
  const { instance, addresses } = targetOf(id);
  return { id, instance, addresses: [...addresses], zone };
}

function peers(count: number, prefix = 'peer'): KnownPeer[] {
  return Array.from({ length: count }, (_, i) => knownPeer(`${prefix}-${i}`));
}

/** Neighbours that answer when the test says so. */
function make({ known = peers(3), zone = '' }: { known?: KnownPeer[]; zone?: string } = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const asked: string[] = [];
  const open = new Map<string, { answer: (has: PeerTarget | undefined) => void; fail: (error: Error) => void }>();
  const neighbours = new KnownNeighbours({
    known: () => known,
    zone,
    ask: (peer, _digest, signal) =>
      new Promise((resolve, reject) => {
        asked.push(peer.peer);
        open.set(peer.peer, {
          answer: (has) => {
            open.delete(peer.peer);
            resolve(has);
          },
          fail: (error) => {
            open.delete(peer.peer);
            reject(error);
          },
        });
        signal.addEventListener('abort', () => open.get(peer.peer)?.fail(signal.reason as Error));
      }),
    clock,
    log: createLogger({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } }),
    random: () => 0.5,
  });
  const found: string[] = [];
  /** Begins to ask. */
  const find = async (
    search: { first?: PeerTarget[]; except?: string[]; thorough?: boolean } = {},
    signal = new AbortController().signal,
  ): Promise<{ ended: Promise<void> | undefined }> => {
    const { first = [], except = [], thorough = false } = search;
    const ended = neighbours.find(
      { digest, first, except: new Set(except), thorough },
      ({ peer }) => void found.push(peer),
      signal,
    );
    await settle();
    return { ended };
  };
  const say = async (peer: string, has: boolean) => {
    open.get(peer)!.answer(has ? targetOf(peer) : undefined);
    await settle();
  };
  return { clock, neighbours, asked, open, found, find, say, lines };
}

t.test('asks a few at a time, last givers and the own zone first, and says who has it as it answers', async (t) => {
  const known = [knownPeer('far-0', 'x'), knownPeer('near-0', 'z'), ...peers(40, 'far'), knownPeer('near-1', 'z')];
  const { asked, open, found, find, say, lines } = make({ known, zone: 'z' });
  const search = await find({ first: [targetOf('giver')], except: ['far-1'] });
  t.same(asked.slice(0, 3), ['giver', 'near-0', 'near-1']);
  t.equal(asked.length, MAX_ASKS_PER_BLOB);
  await say('near-0', true);
  t.same(found, ['near-0']);
  t.equal(asked.length, MAX_ASKS_PER_BLOB + 1, 'who has answered makes room for the next');
  while (open.size > 0) await say(open.keys().next().value!, false);
  await search.ended;
  t.equal(asked.length, MAX_ASKED);
  t.notOk(asked.includes('far-1'));
  t.equal(new Set(asked).size, MAX_ASKED);
  t.match(JSON.parse(lines.at(-1)!), { code: 'NEIGHBOURS_ASKED', digest, asked: MAX_ASKED, have: 1 });
});

t.test('enough is enough', async (t) => {
  const { asked, open, find, say } = make({ known: peers(50) });
  const search = await find({ thorough: true });
  for (let yes = 0; yes < MAX_HOLDERS; yes += 1) await say(asked[yes]!, true);
  while (open.size > 0) await say(open.keys().next().value!, false);
  await search.ended;
  t.equal(asked.length, MAX_HOLDERS + MAX_ASKS_PER_BLOB - 1, 'of 50');
});

t.test('who could not be asked is left out for a while, unless nobody else is left', async (t) => {
  const { clock, neighbours, asked, open, found, find, say } = make();
  const search = await find();
  open.get('peer-0')!.fail(new PeerUnreachable({ peer: 'peer-0', address: 'peer-0:1', seen: 'ECONNREFUSED' }));
  await say('peer-1', true);
  await clock.advance(ASK_MS);
  await search.ended;
  t.same(found, ['peer-1']);
  asked.length = 0;
  const second = await find();
  t.same(asked, ['peer-1'], 'one was refused, one did not answer');
  await say('peer-1', false);
  await second.ended;
  neighbours.failed('peer-1');
  t.equal((await find()).ended, undefined, 'there is nobody to ask');
  const thorough = await find({ thorough: true });
  t.same(asked.slice(1), ['peer-0', 'peer-1', 'peer-2']);
  for (const peer of ['peer-0', 'peer-1', 'peer-2']) await say(peer, false);
  await thorough.ended;
  const third = await find();
  t.ok(third.ended, 'who answers has not failed');
  for (const peer of ['peer-0', 'peer-1', 'peer-2']) await say(peer, false);
  await third.ended;
  neighbours.failed('peer-0');
  await clock.advance(FAILED_MS);
  asked.length = 0;
  await find();
  t.ok(asked.includes('peer-0'));
});

t.test('an error that says nothing of the peer is not held against it', async (t) => {
  const { asked, open, find } = make({ known: peers(1) });
  const search = await find();
  open.get('peer-0')!.fail(new Error('too many connections here'));
  await search.ended;
  t.ok((await find()).ended);
  t.equal(asked.length, 2);
});

t.test('what one blob’s question has shown, the others need not ask', async (t) => {
  const { asked, neighbours, find, say } = make({ known: peers(10) });
  const search = await find();
  neighbours.failed('peer-9');
  for (let i = 0; i < 9; i += 1) await say(`peer-${i}`, false);
  await search.ended;
  t.notOk(asked.includes('peer-9'));
});

t.test('nobody is known', async (t) => {
  t.equal((await make({ known: [] }).find()).ended, undefined);
  t.equal((await make().find({ except: ['peer-0', 'peer-1', 'peer-2'] })).ended, undefined);
});

t.test('ends when it is not wanted any more', async (t) => {
  const { found, find, open, neighbours } = make();
  const abort = new AbortController();
  const search = await find({}, abort.signal);
  abort.abort(new Error('closed'));
  await search.ended;
  t.equal(open.size, 0);
  t.same(found, []);
  t.ok(
    neighbours.find(
      { digest, first: [], except: new Set(), thorough: false },
      () => undefined,
      new AbortController().signal,
    ),
  );
});

t.test('over all blobs there is a bound too', async (t) => {
  const clock = new ManualClock();
  let most = 0;
  let now = 0;
  const neighbours = new KnownNeighbours({
    known: () => peers(16),
    zone: '',
    ask: async () => {
      now += 1;
      most = Math.max(most, now);
      await settle();
      now -= 1;
      return undefined;
    },
    clock,
    log: createLogger({ level: 'silent', format: 'json' }),
  });
  const search = { digest, first: [], except: new Set<string>(), thorough: false };
  const find = async () => neighbours.find(search, () => undefined, new AbortController().signal);
  await Promise.all(Array.from({ length: 40 }, find));
  t.equal(most, MAX_ASKS);
  t.equal(clock.waiting, 0);
});
