import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer as bytesOf } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { KiB, MiB } from '../../src/base/units.ts';
import { endConnection } from '../../src/http/abort.ts';
import { sendBody } from '../../src/http/body-out.ts';
import type { BodySource } from '../../src/http/body-source.ts';
import { BufferPool } from '../../src/http/buffer-pool.ts';

const BODY = randomBytes(10 * MiB + 123);

/** A body in memory; `short` makes reads shorter than they may be. */
function memory(bytes: Buffer, short = Infinity): BodySource {
  return {
    size: bytes.length,
    ready: async () => bytes.length,
    read: async (target, position) => bytes.copy(target, 0, position, position + Math.min(target.length, short)),
  };
}

async function serve(t: Test, handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function get(port: number): Promise<IncomingMessage> {
  const request = httpRequest({ port, host: '127.0.0.1', agent: false }).end();
  request.on('error', () => undefined);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

t.test('sends exactly the range, whatever the reads give, and returns its buffers', async (t) => {
  const ranges = [
    { start: 0, end: BODY.length },
    { start: 0, end: 1 },
    { start: 5, end: 5 },
    { start: 12_345, end: 12_345 + 64 * KiB },
    { start: MiB - 1, end: 5 * MiB + 7 },
    { start: BODY.length - 10, end: BODY.length },
  ];
  for (const short of [Infinity, 300_001]) {
    for (const range of ranges) {
      const pool = new BufferPool(8 * MiB);
      const counted = { bytes: 0, positions: [] as number[] };
      const result = deferred<number>();
      const port = await serve(t, async (_, response) => {
        response.writeHead(200, { 'Content-Length': range.end - range.start });
        result.resolve(
          await sendBody(response, memory(BODY, short), range, pool, (bytes, position) => {
            counted.bytes += bytes;
            counted.positions.push(position);
          }),
        );
        response.end();
      });
      const got = await bytesOf(await get(port));
      t.ok(got.equals(BODY.subarray(range.start, range.end)), `${range.start}-${range.end} by ${short}`);
      t.equal(await result.promise, range.end - range.start);
      t.equal(counted.bytes, range.end - range.start, 'each byte is counted once');
      t.same(
        counted.positions,
        counted.positions.toSorted((a, b) => a - b),
      );
      t.equal(pool.available, 8, 'all buffers are back');
    }
  }
});

t.test(
  'what can be read at once is: a small first part, then one buffer at a time, others having their turn',
  async (t) => {
    const pool = new BufferPool(8 * MiB);
    const asked: number[] = [];
    let most = 0;
    let turns = 0;
    const body: BodySource = {
      ...memory(BODY),
      read: () => Promise.reject(new Error('not to be asked')),
      readNow: (target, position) => {
        asked.push(target.length);
        most = Math.max(most, 8 - pool.available);
        return BODY.copy(target, 0, position, position + target.length);
      },
    };
    const port = await serve(t, async (_, response) => {
      let going = true;
      const turn = (): void => {
        turns += 1;
        if (going) setImmediate(turn);
      };
      setImmediate(turn);
      await sendBody(response, body, { start: 0, end: BODY.length }, pool);
      going = false;
      response.end();
    });
    t.ok((await bytesOf(await get(port))).equals(BODY));
    t.equal(asked[0], 64 * KiB);
    t.ok(asked.slice(1, -1).every((length) => length === MiB));
    t.equal(most, 1, 'one buffer');
    t.ok(turns >= asked.length - 1, `${turns} turns of the loop for ${asked.length} reads`);
    t.equal(pool.available, 8);
  },
);

t.test('what cannot be read at once is waited for, at any point', async (t) => {
  const pool = new BufferPool(8 * MiB);
  let reads = 0;
  const body: BodySource = {
    ...memory(BODY),
    readNow: (target, position) =>
      (reads += 1) % 3 === 0 ? 0 : BODY.copy(target, 0, position, position + target.length),
  };
  const port = await serve(t, async (_, response) => {
    await sendBody(response, body, { start: 0, end: BODY.length }, pool);
    response.end();
  });
  t.ok((await bytesOf(await get(port))).equals(BODY));
  t.equal(pool.available, 8);
});

t.test('I5: with an empty pool it goes on with a small buffer of its own', async (t) => {
  const pool = new BufferPool(0);
  const port = await serve(t, async (_, response) => {
    await sendBody(response, memory(BODY), { start: 0, end: BODY.length }, pool);
    response.end();
  });
  t.ok((await bytesOf(await get(port))).equals(BODY));
});

t.test('I5: a client that reads nothing holds three buffers and no more', async (t) => {
  const pool = new BufferPool(16 * MiB);
  let reads = 0;
  const endless: BodySource = {
    size: 1e12,
    ready: async () => 1e12,
    read: async (target) => ((reads += 1), target.length),
  };
  const result = deferred<number>();
  const port = await serve(t, async (_, response) => {
    result.resolve(await sendBody(response, endless, { start: 0, end: 1e12 }, pool));
  });
  const response = await get(port);
  // It stands still once the sockets' buffers are full: nothing is read in a hundred turns of the loop that both ends live in.
  for (let [before, still] = [0, 0]; still < 100; still = before === reads ? still + 1 : 0) {
    before = reads;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  t.equal(pool.available, 13);
  response.destroy();
  await result.promise;
  t.equal(pool.available, 16, 'back when the client has gone');
});

t.test('follows a body that is still coming in', async (t) => {
  const pool = new BufferPool();
  const came = { bytes: 0, wake: (): void => undefined };
  const body: BodySource = {
    ...memory(BODY),
    async ready(position) {
      while (came.bytes <= position) await new Promise<void>((resolve) => (came.wake = resolve));
      return came.bytes;
    },
    async read(target, position) {
      t.ok(position + target.length <= came.bytes, 'never reads what is not released');
      return memory(BODY).read(target, position);
    },
  };
  const port = await serve(t, async (_, response) => {
    await sendBody(response, body, { start: 0, end: BODY.length }, pool);
    response.end();
  });
  const feed = setInterval(() => {
    came.bytes = Math.min(BODY.length, came.bytes + 1_500_000);
    came.wake();
  }, 1);
  const got = await bytesOf(await get(port));
  clearInterval(feed);
  t.ok(got.equals(BODY));
});

t.test('a client that goes while nothing is ready ends it at once', async (t) => {
  const pool = new BufferPool();
  const result = deferred<number>();
  const never: BodySource = { size: 10 * MiB, ready: () => new Promise(() => undefined), read: async () => 0 };
  const port = await serve(t, async (_, response) => {
    response.write('head');
    result.resolve(await sendBody(response, never, { start: 0, end: 10 * MiB }, pool));
  });
  (await get(port)).destroy();
  t.equal(await result.promise, 0);
});

for (const where of ['ready', 'read'] as const) {
  t.test(`what was read before ${where} fails is out before it rejects`, async (t) => {
    const pool = new BufferPool(4 * MiB);
    const good = 5 * MiB;
    const broken: BodySource = {
      size: BODY.length,
      async ready(position) {
        if (where === 'ready' && position >= good) throw new Error('lost');
        return where === 'ready' ? good : BODY.length;
      },
      async read(target, position) {
        if (position >= good) throw new Error('lost');
        return BODY.copy(target, 0, position, Math.min(good, position + target.length));
      },
    };
    const failure = deferred<unknown>();
    const port = await serve(t, async (request, response) => {
      response.writeHead(200, { 'Content-Length': BODY.length });
      await sendBody(response, broken, { start: 0, end: BODY.length }, pool).catch(failure.resolve);
      endConnection(request);
    });
    const response = await get(port);
    let received = 0;
    response.on('data', (chunk: Buffer) => (received += chunk.length));
    await once(response, 'close').catch(() => undefined);
    t.match(await failure.promise, { message: 'lost' });
    t.equal(received, good);
    t.equal(pool.available, 4);
  });
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

t.test(
  'what a body lends goes out as it is, and every loan is given back, also of a client that has gone',
  async (t) => {
    let [out, most] = [0, 0];
    const lending = (every: number): BodySource => ({
      ...memory(BODY),
      lend: (position, length) => {
        if (position % every !== 0) return undefined;
        out += 1;
        most = Math.max(most, out);
        let isOut = true;
        const release = (): void => {
          if (!isOut) throw new Error('given back twice');
          isOut = false;
          out -= 1;
        };
        return { bytes: BODY.subarray(position, position + Math.min(length, 77_777)), release };
      },
    });
    const pool = new BufferPool(8 * MiB);
    for (const every of [1, 2]) {
      const done = deferred<number>();
      const port = await serve(t, async (_, response) => {
        done.resolve(await sendBody(response, lending(every), { start: 4, end: BODY.length }, pool));
        response.end();
      });
      t.ok((await bytesOf(await get(port))).equals(BODY.subarray(4)));
      t.equal(await done.promise, BODY.length - 4);
      t.equal(out, 0);
    }
    t.ok(most > 0 && most <= 3, 'few at a time');
    const cut = deferred<number>();
    const port = await serve(t, async (_, response) => {
      cut.resolve(await sendBody(response, lending(1), { start: 0, end: BODY.length }, pool));
    });
    (await get(port)).destroy();
    t.ok((await cut.promise) < BODY.length);
    t.equal(out, 0);
    t.equal(pool.available, 8);
  },
);
