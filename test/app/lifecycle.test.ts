import fc from 'fast-check';
import t from 'tap';
import { listenError } from '../../src/app/errors.ts';
import { Lifecycle, type Part } from '../../src/app/lifecycle.ts';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { createLogger } from '../../src/base/log.ts';

function make() {
  const events: string[] = [];
  const logged: { code?: string; part?: string }[] = [];
  const log = createLogger({
    level: 'info',
    format: 'json',
    destination: { write: (line) => void logged.push(JSON.parse(line) as { code?: string }) },
  });
  const life = new Lifecycle({ log, clock: systemClock });
  const part = (name: string, more: Partial<Part<string>> = {}): Part<string> => ({
    name,
    start: async () => {
      events.push(`+${name}`);
      return name;
    },
    stop: async (started) => void events.push(`-${started}`),
    ...more,
  });
  return { life, part, events, logged };
}

const never = () => new Promise<never>(() => {});

t.test('starts in order, stops in reverse, once', async (t) => {
  const { life, part, events, logged } = make();
  for (const name of ['store', 'mirror', 'api']) t.equal(await life.start(part(name)), name);
  await Promise.all([life.stop(), life.stop()]);
  await life.stop();
  t.same(events, ['+store', '+mirror', '+api', '-api', '-mirror', '-store']);
  t.same(logged, []);
});

t.test('what others wait for is let go by all before any is stopped', async (t) => {
  const { life, part, events, logged } = make();
  const release = (started: string) => void events.push(`~${started}`);
  await life.start(part('store', { release }));
  await life.start(part('odd', { release: () => Promise.reject(new Error('no')) }));
  await life.start(part('mirror', { release }));
  await life.stop();
  t.same(events, ['+store', '+odd', '+mirror', '~mirror', '~store', '-mirror', '-odd', '-store']);
  t.match(logged, [{ code: 'STOP_FAILED', part: 'odd' }]);
});

t.test('a part that fails to start takes down those before it, and its error comes through', async (t) => {
  const { life, part, events } = make();
  await life.start(part('store'));
  await life.start(part('mirror'));
  const failure = new Error('no');
  await t.rejects(life.start(part('api', { start: () => Promise.reject(failure) })), failure);
  t.same(events, ['+store', '+mirror', '-mirror', '-store']);
  await t.rejects(life.start(part('late')), { code: 'STOPPING' }, 'after that nothing starts');
  t.notOk(events.includes('+late'));
});

t.test('stops go on past one that fails or hangs, and say so', async (t) => {
  const { life, part, events, logged } = make();
  await life.start(part('store'));
  await life.start(
    part('sync', {
      stop: () => {
        throw new Error('thrown at once');
      },
    }),
  );
  await life.start(part('bad', { stop: () => Promise.reject(new Error('disk gone')) }));
  await life.start(part('stuck', { stop: never, stopBoundMs: 10 }));
  const hold = setInterval(() => {}, 1000);
  await life.stop();
  clearInterval(hold);
  t.same(events, ['+store', '+sync', '+bad', '+stuck', '-store']);
  t.match(logged, [
    { code: 'STOP_TIMEOUT', part: 'stuck', level: 'warn' },
    { code: 'STOP_FAILED', part: 'bad', msg: /disk gone/ },
    { code: 'STOP_FAILED', part: 'sync', msg: /thrown at once/ },
  ]);
});

t.test('a part that starts too late is given up, and stopped when it comes up after all', async (t) => {
  const { life, part, events, logged } = make();
  await life.start(part('store'));
  let comeUp: (name: string) => void = () => {};
  const stopped = new Promise<string>((resolve) => {
    const slow = part('slow', {
      start: () => new Promise((r) => (comeUp = r)),
      stop: async (name) => resolve(name),
      startBoundMs: 10,
    });
    const hold = setInterval(() => {}, 1000);
    t.rejects(life.start(slow), { code: 'START_TIMEOUT' }).then(() => {
      clearInterval(hold);
      t.same(events, ['+store', '-store']);
      comeUp('slow');
    });
  });
  t.equal(await stopped, 'slow');
  t.same(logged, []);
});

t.test('one that fails after it was given up is only logged', async (t) => {
  const { life, part, logged } = make();
  let fail: (error: Error) => void = () => {};
  const slow = part('slow', { start: () => new Promise((_, r) => (fail = r)), startBoundMs: 10 });
  const hold = setInterval(() => {}, 1000);
  await t.rejects(life.start(slow), { code: 'START_TIMEOUT' });
  clearInterval(hold);
  fail(new Error('too late anyway'));
  await new Promise(setImmediate);
  t.match(logged, [{ code: 'START_FAILED', part: 'slow', msg: /too late anyway/ }]);
});

t.test('stop during a start: what comes up is stopped again', async (t) => {
  const { life, part, events } = make();
  let comeUp: (name: string) => void = () => {};
  const starting = life.start(part('slow', { start: () => new Promise((r) => (comeUp = r)) }));
  await life.stop();
  comeUp('slow');
  await t.rejects(starting, { code: 'STOPPING' });
  t.same(events, ['-slow']);
});

t.test('whatever fails where, every part that started is stopped once, in reverse', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ start: fc.boolean(), stop: fc.boolean() }), { maxLength: 8 }),
      async (plan) => {
        const { life, part } = make();
        const up: number[] = [];
        const down: number[] = [];
        for (const [i, works] of plan.entries()) {
          const start = async () => {
            if (!works.start) throw new Error('no');
            up.push(i);
            return '';
          };
          const stop = async () => {
            down.push(i);
            if (!works.stop) throw new Error('no');
          };
          await life.start(part(String(i), { start, stop })).catch(() => {});
        }
        await life.stop();
        const failed = plan.findIndex(({ start }) => !start);
        t.same(up, [...plan.keys()].slice(0, failed === -1 ? undefined : failed));
        t.same(down, up.toReversed());
      },
    ),
    { numRuns: 50 },
  );
});

t.test('an address that cannot be had has a code of its own', (t) => {
  const coded = (code: string) => listenError(Object.assign(new Error('x'), { code }), '127.0.0.1:1', 'proxy.listen');
  t.match(coded('EADDRINUSE'), {
    code: 'ADDRESS_IN_USE',
    message: 'another process listens on 127.0.0.1:1 (proxy.listen)',
  });
  t.match(coded('EACCES'), { code: 'ADDRESS_NOT_ALLOWED' });
  t.match(coded('EADDRNOTAVAIL'), { code: 'ADDRESS_NOT_HERE' });
  t.match(coded('ENOTFOUND'), { code: 'ADDRESS_NOT_HERE' });
  t.equal(coded('EMFILE'), undefined);
  t.equal(listenError(new Error('x'), 'a:1'), undefined);
  t.equal(codeOf(listenError({ code: 'EADDRINUSE' }, 'a:1')), 'ADDRESS_IN_USE');
  t.end();
});
