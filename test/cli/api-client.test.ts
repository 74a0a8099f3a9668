import { chmodSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createNetServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import t, { type Test } from 'tap';
import { askService, askSupernode } from '../../src/cli/api-client.ts';
import { failureLine } from '../../src/cli/exit.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';

const OPEN: { secretFile: string | undefined; operatorTokenFile: string | undefined } = {
  secretFile: undefined,
  operatorTokenFile: undefined,
};
const Shape = Type.Object({ n: Type.Number() });

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address where nobody listens. */
async function nowhere(): Promise<string> {
  const server = createNetServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

function ask(url: string, timeoutMs?: number) {
  return askService({ url, what: 'supernode', setting: 'supernodes' }, '/api/v1/x', Shape, timeoutMs);
}

t.test('gives the whole answer, fields that it does not know too', async (t) => {
  const url = await serve(t, (request, response) => response.end(JSON.stringify({ n: 1, url: request.url })));
  t.same(await ask(url), { n: 1, url: '/api/v1/x' });
});

t.test('where nothing answers: which service, its URL, what to do', async (t) => {
  const url = await nowhere();
  const error = await ask(url).catch((error: unknown) => error);
  t.match(error, { code: 'SERVICE_UNREACHABLE', params: { url } });
  const line = failureLine(error);
  t.match(line, `hawker: SERVICE_UNREACHABLE: the supernode does not answer at ${url}: `);
  t.match(line, /ECONNREFUSED.*hawker supernode.*supernodes in the file of --config/);
  const silent = await serve(t, () => {});
  await t.rejects(ask(silent, 50), { code: 'SERVICE_UNREACHABLE', message: /no answer within 50 ms/ });
  const halting = await serve(t, (_request, response) => void response.writeHead(200).write('{'));
  await t.rejects(ask(halting, 50), { code: 'SERVICE_UNREACHABLE', message: /no answer within 50 ms/ });
  const cut = await serve(t, (request) => request.socket.destroy());
  await t.rejects(ask(cut), { code: 'SERVICE_UNREACHABLE' });
});

t.test('an answer of another kind', async (t) => {
  const answers: [status: number, body: string, why: RegExp][] = [
    [200, 'hello', /it is no JSON/],
    [200, '{"n":"1"}', /another shape at \/n/],
    [200, '[]', /another shape/],
    [403, '{"message":"ask for a loopback address"}', /HTTP status 403 \(ask for a loopback address\)/],
    [302, '', /HTTP status 302/],
    [500, '{"message":5}', /HTTP status 500$/],
  ];
  for (const [status, body, message] of answers) {
    const url = await serve(t, (_request, response) => response.writeHead(status, { Location: '/y' }).end(body));
    await t.rejects(ask(url), { code: 'SERVICE_BAD_ANSWER', message }, body);
  }
  const long = await serve(t, (_request, response) => {
    const chunk = Buffer.alloc(1 << 20, ' ');
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  });
  await t.rejects(ask(long), { code: 'SERVICE_BAD_ANSWER', message: /it is too long/ });
});

t.test('of several supernodes the first that answers; one that answers wrongly is not passed over', async (t) => {
  const [dead, other] = await Promise.all([nowhere(), nowhere()]);
  const live = await serve(t, (_request, response) => response.end('{"n":7}'));
  const wrong = await serve(t, (_request, response) => response.end('no'));
  const ask = (supernodes: string[]) => askSupernode({ supernodes, cluster: OPEN }, '/x', Shape);
  t.same(await ask([dead, live]), { url: live, answer: { n: 7 } });
  await t.rejects(ask([dead, other]), { code: 'SERVICE_UNREACHABLE', params: { url: dead } });
  await t.rejects(ask([wrong, live]), { code: 'SERVICE_BAD_ANSWER' });
  await t.rejects(ask([]), { code: 'NO_SUPERNODE_NAMED' });
});

t.test('a token is read and sent only where it is wanted', async (t) => {
  const seen: (string | undefined)[] = [];
  const secret = 's'.repeat(40);
  const home = t.testdir({ 'operator-token': `${'o'.repeat(40)}\n`, 'join-secret': `${secret}\n` });
  const [operatorTokenFile, secretFile] = [join(home, 'operator-token'), join(home, 'join-secret')];
  for (const file of [operatorTokenFile, secretFile]) chmodSync(file, 0o600);
  const member = new Membership(secret).readerTokens[0]!;
  let takes = '';
  const url = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.statusCode = takes === '' || request.headers.authorization === `Bearer ${takes}` ? 200 : 401;
    response.end('{"n":7}');
  });
  const ask = (cluster: Partial<typeof OPEN>) =>
    askSupernode({ supernodes: [url], cluster: { ...OPEN, ...cluster } }, '/x', Shape);
  const nowhere = { secretFile: '/nowhere', operatorTokenFile: '/nowhere' };
  t.match(await ask(nowhere), { answer: { n: 7 } }, 'nothing is read where no token is wanted');
  takes = member;
  t.match(await ask({ secretFile }), { answer: { n: 7 } });
  t.same(seen.splice(0), [undefined, undefined, `Bearer ${member}`]);
  takes = 'o'.repeat(40);
  t.match(await ask({ secretFile, operatorTokenFile }), { answer: { n: 7 } }, "the operator's goes first");
  takes = 'another';
  await t.rejects(ask({ operatorTokenFile }), { code: 'API_REFUSED', message: /neither/ });
  await t.rejects(ask({}), { code: 'API_REFUSED', message: /names none/ });
  await t.rejects(ask(nowhere), { code: 'SECRET_UNUSABLE' });
});
