import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import {
  descriptorLimit,
  Descriptors,
  isOutOfDescriptors,
  openDescriptors,
  parseLimits,
  REQUEST_DESCRIPTORS,
} from '../../src/base/descriptors.ts';
import { ManualClock } from '../support/manual-clock.ts';

const never = new AbortController().signal;

function scene(limit: number | undefined, open: number | undefined) {
  const state = { limit, open, relieved: 0, short: [] as number[] };
  const clock = new ManualClock();
  const descriptors = new Descriptors({
    clock,
    relieve: () => (state.relieved += 1),
    short: (wanted) => state.short.push(wanted),
    count: () => state.open,
    limit: () => state.limit,
  });
  return { state, clock, descriptors };
}

t.test('what is open is counted, and the limit is read', { skip: process.platform !== 'linux' }, async (t) => {
  const before = openDescriptors()!;
  const held = Array.from({ length: 10 }, () => openSync('/dev/null', 'r'));
  t.ok(openDescriptors()! >= before + 10);
  for (const descriptor of held) closeSync(descriptor);
  t.ok(descriptorLimit()! > before);
});

t.test('the limit in /proc/<pid>/limits', async (t) => {
  const row = (soft: string) =>
    `Limit   Soft Limit  Hard Limit  Units\nMax open files            ${soft}      4096     files\n`;
  t.equal(parseLimits(row('1024')), 1024);
  t.equal(parseLimits(row('unlimited')), undefined);
  t.equal(parseLimits(''), undefined);
});

t.test('only a shortage of descriptors is one, however deep', async (t) => {
  const coded = (code: string, cause?: unknown) => Object.assign(new Error(code, { cause }), { code });
  t.ok(isOutOfDescriptors(coded('EMFILE')));
  t.ok(isOutOfDescriptors(coded('STORE_WRITE_FAILED', coded('ENFILE'))));
  t.notOk(isOutOfDescriptors(coded('ENOSPC')));
  t.notOk(isOutOfDescriptors(undefined));
});

t.test('where there is no limit, or nobody knows, everybody enters', async (t) => {
  for (const { descriptors } of [scene(undefined, 10), scene(10, undefined)]) {
    t.ok(descriptors.admitsConnection());
    await Promise.all(Array.from({ length: 100 }, () => descriptors.enter(never)));
  }
});

t.test('requests wait in line for descriptors, and enter as they are given back', async (t) => {
  const { state, clock, descriptors } = scene(40, 28);
  const entered: number[] = [];
  const releases = [0, 1, 2, 3].map(async (index) => {
    const release = await descriptors.enter(never);
    entered.push(index);
    return release;
  });
  await clock.advance(0);
  t.same(entered, [0, 1], '36 of 40 may be open: two times four more');
  t.equal(descriptors.waiting, 2);
  t.notOk(descriptors.admitsConnection());
  t.equal(state.relieved, 1, 'what is idle is closed, not more often than that');
  t.ok(state.short.includes(40), 'it is said');
  const first = await releases[0]!;
  first();
  first();
  await clock.advance(0);
  t.same(entered, [0, 1, 2], 'one, though it was given back twice');
  state.open = 24;
  await clock.advance(1000);
  t.same(entered, [0, 1, 2, 3], 'descriptors that others have closed are seen');
  t.equal(descriptors.waiting, 0);
  t.equal(clock.waiting, 0);
});

t.test('one request at a time goes on, however few are left', async (t) => {
  const { descriptors } = scene(40, 40 - REQUEST_DESCRIPTORS - 1);
  await descriptors.enter(never);
  t.equal(descriptors.waiting, 0);
});

t.test('who waits leaves with the reason of its signal', async (t) => {
  const { state, clock, descriptors } = scene(40, 40);
  const controller = new AbortController();
  const waiting = descriptors.enter(controller.signal);
  controller.abort(new Error('gone'));
  await t.rejects(waiting, { message: 'gone' });
  await t.rejects(descriptors.enter(controller.signal), { message: 'gone' });
  t.equal(descriptors.waiting, 0);
  state.open = 10;
  await clock.advance(1000);
  await descriptors.enter(never);
});

t.test('a limit that is changed counts from the next refresh on', async (t) => {
  const { state, descriptors } = scene(40, 39);
  t.notOk(descriptors.admitsConnection());
  state.limit = 1000;
  descriptors.refresh();
  t.ok(descriptors.admitsConnection());
  t.equal(descriptors.limit, 1000);
  t.equal(descriptors.used, 39);
});
