import t from 'tap';
import { Type } from '@sinclair/typebox';
import { ask, notRight, read } from '../../src/doctor/ask.ts';
import { closedPort, http, rubbish, silent } from '../support/odd-servers.ts';

t.test('an answer, and what is in it', async (t) => {
  const port = await http(t, (request, response) => {
    if (request.url === '/text') response.end('hello');
    else response.writeHead(request.method === 'POST' ? 201 : 200).end('{"a":1}');
  });
  const url = `http://127.0.0.1:${port}`;
  const shape = Type.Object({ a: Type.Number() });
  t.same(read(await ask(url), shape), { a: 1 });
  const posted = await ask(url, { method: 'POST' });
  t.match(posted, { kind: 'http', status: 201, json: { a: 1 } });
  t.equal(read(posted, shape), undefined, 'another status');
  t.equal(read(await ask(`${url}/text`), shape), undefined, 'no JSON');
  t.equal(read(await ask(url), Type.Object({ b: Type.Number() })), undefined, 'another shape');
  t.equal(notRight(posted), 'it answers with HTTP status 201');
});

t.test('the address that is asked is the given one, the name stays that of the URL', async (t) => {
  const port = await http(t, (request, response) => response.end(JSON.stringify(request.headers.host)));
  t.match(await ask(`http://name.invalid:${port}/`, { ip: '127.0.0.1' }), { json: `name.invalid:${port}` });
});

t.test('ways of getting no answer are told apart', async (t) => {
  const at = (port: number) => ask(`http://127.0.0.1:${port}/`, { timeoutMs: 500 });
  const refused = await at(await closedPort());
  t.same(refused, { kind: 'refused' });
  t.match(notRight(refused), /nothing listens there/);
  const hung = await at(await silent(t));
  t.match(hung, { kind: 'silent', why: 'it says nothing within 500 ms' });
  t.equal(notRight(hung), 'it says nothing within 500 ms');
  t.match(await at(await rubbish(t)), { kind: 'rubbish', why: /not HTTP/ });
  t.match(await at(await rubbish(t, '')), { kind: 'rubbish', why: /without an answer/ });
  const half = await http(t, (_, response) => void response.writeHead(200).write('{'));
  t.match(await at(half), { kind: 'silent' }, 'it stops in the middle');
  t.match(await ask('http://255.255.255.255:1/', { timeoutMs: 500 }), { kind: 'unreachable' });
});
