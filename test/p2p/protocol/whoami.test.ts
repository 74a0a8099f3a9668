import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import t, { type Test } from 'tap';
import { askWhoami } from '../../../src/p2p/protocol/whoami.ts';
import { PATIENCE_MS } from '../../support/patience.ts';
import { failureOf } from '../../support/registry-client.ts';

async function listen(t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answering = (handler: RequestListener) => createServer(handler);
const PROOF = 'p'.repeat(43);

t.test('asks with the nonce and gets who answers', async (t) => {
  const address = await listen(
    t,
    answering((request, response) => {
      t.equal(request.url, '/v1/whoami?nonce=n-1_');
      response.end(JSON.stringify({ peer: 'peer-1', instance: 'i-1', proof: PROOF }));
    }),
  );
  t.same(await askWhoami(address, 'n-1_'), { peer: 'peer-1', instance: 'i-1', proof: PROOF });
});

t.test('everything else is WHOAMI_FAILED with the address and the reason', async (t) => {
  const silent = await listen(
    t,
    createTcpServer((socket) => void socket.resume().on('error', () => socket.destroy())),
  );
  // Long enough for the connection, however busy the machine is.
  for (let ms = 30, isEnough = false; !isEnough; ms *= 4) {
    const error = await failureOf(askWhoami(silent, 'n', ms));
    isEnough = error.message.includes('took the connection') || ms > PATIENCE_MS;
    const message = new RegExp(`${isEnough ? 'took the connection, but did not answer' : ''} within ${ms} ms`);
    t.match(error, { code: 'WHOAMI_FAILED', message });
  }
  const notFound = await listen(
    t,
    answering((_request, response) => response.writeHead(404).end()),
  );
  await t.rejects(askWhoami(notFound, 'n'), { message: /HTTP status 404/ });
  const long = await listen(
    t,
    answering((_request, response) => response.end('x'.repeat(10_000))),
  );
  await t.rejects(askWhoami(long, 'n'), { message: /too long/ });
  for (const body of [
    'hello',
    '{}',
    '{"peer":1,"instance":"i","proof":"p"}',
    `{"peer":"p","instance":"i","proof":"short"}`,
  ]) {
    const other = await listen(
      t,
      answering((_request, response) => response.end(body)),
    );
    await t.rejects(askWhoami(other, 'n'), { message: /not Hawker/ }, body);
  }
  await t.rejects(askWhoami('nonsense', 'n'), { message: /host:port/ });
  const gone = createTcpServer();
  const address = await listen(t, gone);
  await new Promise((resolve) => gone.close(resolve));
  await t.rejects(askWhoami(address, 'n'), { code: 'WHOAMI_FAILED', message: new RegExp(`${address}.*ECONNREFUSED`) });
});
