import { once } from 'node:events';
import { createServer } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { Sockets } from '../../src/app/sockets.ts';

const ANY = { address: { host: '127.0.0.1', port: 0 }, key: 'proxy.listen' };
const from = (fds: string, names?: string, pid = '7') =>
  new Sockets({ environment: { LISTEN_PID: pid, LISTEN_FDS: fds, LISTEN_FDNAMES: names }, pid: 7 });

t.test('sockets are taken by name, each once; then addresses', async (t) => {
  const sockets = from('4', 'mirror:pieces:hawker-mirror.socket:api');
  t.same(sockets.unused(), ['mirror', 'mirror', 'pieces', 'api']);
  const listen = async ({ fd }: { fd?: number }) => fd;
  const take = (name: 'mirror' | 'supernode') => sockets.listen(name, ANY, listen, () => '127.0.0.1');
  t.equal(await take('mirror'), 3);
  t.equal(await take('mirror'), 5);
  t.equal(await take('mirror'), undefined, 'the next one opens its own');
  t.equal(await take('supernode'), undefined);
  t.same(sockets.unused(), ['pieces', 'api']);
});

t.test('those of another process are not ours; those without a name are wrong', async (t) => {
  t.same(from('2', 'mirror:api', '8').unused(), []);
  t.same(new Sockets({ environment: {}, pid: 7 }).unused(), []);
  for (const [fds, names] of [
    ['1', undefined],
    ['2', 'mirror'],
    ['1', 'web'],
    ['x', 'mirror'],
    ['-1', 'mirror'],
    ['9999', 'mirror'],
  ] as const) {
    t.throws(() => from(fds, names), { code: 'SOCKETS_WRONG' }, `${fds} ${names}`);
  }
  fc.assert(
    fc.property(fc.string(), fc.string(), (fds, names) => {
      try {
        return from(fds, names).unused().length >= 0;
      } catch (error) {
        return (error as { code?: string }).code === 'SOCKETS_WRONG';
      }
    }),
  );
});

t.test('a socket that is open to others than its setting is refused', async (t) => {
  const listening = from('1', 'mirror').listen(
    'mirror',
    ANY,
    async () => 1,
    () => '0.0.0.0',
  );
  await t.rejects(listening, { code: 'SOCKET_ELSEWHERE' });
  const open = { address: { host: '0.0.0.0', port: 1 }, key: 'proxy.listen' };
  t.equal(
    await from('1', 'mirror').listen(
      'mirror',
      open,
      async () => 1,
      () => '0.0.0.0',
    ),
    1,
  );
});

t.test('a port that is about to be free is waited for, another is an error', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address() as { address: string; port: number };
  const where = { address: { host: '127.0.0.1', port: address.port }, key: 'proxy.listen' };
  const mine = createServer();
  t.teardown(() => mine.close());
  let tries = 0;
  const listen = async (at: object) => {
    tries += 1;
    if (tries === 2) taken.close();
    mine.listen(at);
    await once(mine, 'listening');
  };
  await new Sockets().listen('mirror', where, listen, () => '');
  t.ok(tries >= 2);
  const other = createServer();
  const never = async (at: object) => {
    other.listen(at);
    await once(other, 'listening');
  };
  await t.rejects(
    new Sockets().listen('mirror', where, never, () => ''),
    { code: 'ADDRESS_IN_USE' },
  );
});
