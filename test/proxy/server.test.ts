import { connect } from 'node:net';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { makeImage } from '../support/hostile-registry.ts';
import { errorIn, REGISTRY, Rig, until } from './rig.ts';

const HEX = 'ab'.repeat(32);
const NS = `?ns=${REGISTRY}`;

t.test('GET /v2/ is answered here, at once, and without a challenge', async (t) => {
  const rig = await Rig.start(t);
  await rig.origin.close();
  for (const port of [rig.port, rig.boundPort]) {
    for (const path of ['/v2/', '/v2', `/v2/${NS}`, '/ghcr.io/v2/']) {
      const answer = await rig.ask(path, { port, headers: { authorization: 'Basic c2VjcmV0' } });
      t.equal(answer.status, 200);
      t.equal(answer.body.toString(), '{}');
      t.match(answer.headers, {
        'docker-distribution-api-version': 'registry/2.0',
        'content-type': 'application/json',
      });
      t.notOk('www-authenticate' in answer.headers);
      const head = await rig.ask(path, { port, method: 'HEAD' });
      t.equal(head.status, 200);
      t.equal(head.headers['content-length'], '2');
    }
  }
  t.notOk(
    rig.lines.some((line) => line.includes('c2VjcmV0')),
    'I4: nobody’s credential is logged',
  );
});

t.test('bad input over a raw socket: the error that the spec names, and the server goes on', async (t) => {
  const rig = await Rig.start(t);
  const get = (target: string, ...headers: string[]) =>
    `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers.map((h) => `${h}\r\n`).join('')}\r\n`;
  const cases: [string, string | Buffer, number, string | undefined][] = [
    ['escaped slash', get('/v2/a%2Fb/manifests/x'), 400, 'NAME_INVALID'],
    ['dots', get('/v2/../../../etc/passwd'), 400, 'NAME_INVALID'],
    ['dots in a name', get('/v2/a/../b/manifests/x'), 400, 'NAME_INVALID'],
    ['escaped dots', get('/v2/%2e%2e/manifests/x'), 400, 'NAME_INVALID'],
    ['escaped NUL', get('/v2/a%00/manifests/x'), 400, 'NAME_INVALID'],
    ['doubled slash', get('/v2//a/manifests/x'), 400, 'NAME_INVALID'],
    ['doubled slash in front', get('//v2/a/manifests/x'), 404, 'NAME_UNKNOWN'],
    ['bad escape', get('/v2/a%zz/manifests/x'), 400, 'NAME_INVALID'],
    ['upper case', get('/v2/ABC/manifests/x'), 400, 'NAME_INVALID'],
    ['bad tag', get('/v2/a/manifests/-x'), 400, 'MANIFEST_INVALID'],
    ['bad digest', get('/v2/a/manifests/sha256:xyz'), 400, 'DIGEST_INVALID'],
    ['bad blob digest', get('/v2/a/blobs/latest'), 400, 'DIGEST_INVALID'],
    ['dots in a digest', get('/v2/a/blobs/sha256:..'), 400, 'DIGEST_INVALID'],
    ['bad referrers digest', get('/v2/a/referrers/x'), 400, 'DIGEST_INVALID'],
    ['bad ns', get('/v2/a/manifests/x?ns=http://evil/'), 400, 'NAME_INVALID'],
    ['two ns', get('/v2/a/manifests/x?ns=a.io&ns=b.io'), 400, 'NAME_INVALID'],
    ['ns against prefix', get(`/v2/docker.io/a/manifests/x${NS}`), 400, 'NAME_INVALID'],
    ['unknown ns', get('/v2/a/manifests/x?ns=evil.example'), 404, 'NAME_UNKNOWN'],
    ['metadata service', get('/v2/latest/manifests/x?ns=169.254.169.254'), 404, 'NAME_UNKNOWN'],
    ['catalog', get('/v2/_catalog'), 404, 'UNSUPPORTED'],
    ['v1', get('/v1/_ping'), 404, 'NAME_UNKNOWN'],
    ['root', get('/'), 404, 'NAME_UNKNOWN'],
    ['favicon', get('/favicon.ico'), 404, 'NAME_UNKNOWN'],
    ['asterisk', get('*'), 404, 'NAME_UNKNOWN'],
    ['absolute form', get('http://localhost:65001/v2/'), 200, undefined],
    ['absolute form of another', get('http://evil.example/v2/'), 404, 'NAME_UNKNOWN'],
    ['long URL', get(`/v2/a/manifests/x?${'y'.repeat(9000)}`), 414, 'NAME_INVALID'],
    ['huge headers', get('/v2/', `X-Big: ${'y'.repeat(70_000)}`), 431, 'UNSUPPORTED'],
    ['raw NUL', get('/v2/a\0b/manifests/x'), 400, 'UNSUPPORTED'],
    ['raw space', get('/v2/a b/manifests/x'), 400, 'UNSUPPORTED'],
    ['header with NUL', get('/v2/', 'X-Bad: \0'), 400, 'UNSUPPORTED'],
    ['unknown version', 'GET /v2/ HTTP/9.9\r\n\r\n', 400, 'UNSUPPORTED'],
    ['garbage', 'hello, is this a registry?\r\n\r\n', 400, 'UNSUPPORTED'],
    ['unknown method', 'BREW /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n', 400, 'UNSUPPORTED'],
    ['TLS ClientHello', Buffer.from('16030100050100000103034142', 'hex'), 400, 'UNSUPPORTED'],
    ['CONNECT', 'CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n', 405, 'UNSUPPORTED'],
    ['two lengths', get('/v2/', 'Content-Length: 1', 'Content-Length: 2'), 400, 'UNSUPPORTED'],
    ['PROPFIND', 'PROPFIND /v2/a/ HTTP/1.1\r\nHost: localhost\r\n\r\n', 405, 'UNSUPPORTED'],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n', 405, 'UNSUPPORTED'],
    ['TRACE', 'TRACE /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n', 405, 'UNSUPPORTED'],
    ['delete', `DELETE /v2/a/manifests/sha256:${HEX} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 405, 'UNSUPPORTED'],
    ['mount', `POST /v2/a/blobs/uploads/?mount=sha256:${HEX} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 405, 'UNSUPPORTED'],
  ];
  for (const [name, bytes, status, code] of cases) {
    const answer = await rig.raw(bytes);
    const [, said] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? [];
    t.equal(said, String(status), name);
    t.notMatch(answer, /text\/html/i, name);
    if (code !== undefined) {
      const { errors } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { errors: { code: string }[] };
      t.equal(errors[0]!.code, code, name);
    }
  }
  t.equal(rig.origin.requests.length, 0, 'the origin heard nothing of it');
  t.notOk(rig.lines.some((line) => line.includes('INTERNAL')));
  t.equal((await rig.ask('/v2/')).status, 200);
});

t.test('a write is refused before its body is read, and the answer arrives', async (t) => {
  const rig = await Rig.start(t);
  for (const expect of [false, true]) {
    const socket = connect({ host: '127.0.0.1', port: rig.port, allowHalfOpen: true });
    await once(socket, 'connect');
    socket.write(
      `PUT /v2/a/manifests/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n${expect ? 'Expect: 100-continue\r\n' : ''}\r\n`,
    );
    if (!expect) socket.write(Buffer.alloc(500_000));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks).toString();
    t.match(answer, /^HTTP\/1\.1 405 Method Not Allowed\r\n/, 'and no 100 before it');
    t.match(answer, /\r\nAllow: GET, HEAD\r\n/);
    t.match(answer, /\r\nConnection: close\r\n/);
    t.match(answer, '"WRITE_UNSUPPORTED"');
  }
  await until(async () => (await rig.metric('hawker_http_requests_total', { status: '405' })) === 2);
});

t.test('a write behind other requests on a connection waits for its turn', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.faults.on = ['tags'];
  rig.origin.faults.delayMs = 50;
  rig.origin.addImage('org/app', 'v1', makeImage({ seed: 1, layers: [10] }));
  const answer = await rig.raw(
    `GET /v2/org/app/tags/list${NS} HTTP/1.1\r\nHost: localhost\r\n\r\nDELETE /v2/org/app/manifests/v1 HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  );
  t.match(answer, /^HTTP\/1\.1 200 OK[\s\S]*"tags":\["v1"\]\}HTTP\/1\.1 405 Method Not Allowed/);
});

t.test('what is no HTTP waits for the answers to the requests before it', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.faults.on = ['tags'];
  rig.origin.faults.delayMs = 50;
  rig.origin.addImage('org/app', 'v1', makeImage({ seed: 1, layers: [10] }));
  const request = `GET /v2/org/app/tags/list${NS} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  const answer = await rig.raw(`${request}${request}\0garbage\r\n\r\n`);
  t.match(answer, /^(?:HTTP\/1\.1 200 OK[^{]*\{[^}]*"tags":\["v1"\]\}){2}HTTP\/1\.1 400 Bad Request\r\n/);
  t.match(answer, /"HPE_[A-Z_]+"\}\}\]\}$/, 'and that is the last of it');
});

t.test('clients that try TLS first get the answer that makes them go on in plain', async (t) => {
  const rig = await Rig.start(t);
  const socket = connectTls({ host: '127.0.0.1', port: rig.port, rejectUnauthorized: false });
  const [error] = (await once(socket, 'error')) as [Error & { code?: string }];
  t.match(error.code, /WRONG_VERSION_NUMBER|ERR_SSL/, 'not ECONNRESET');
});

t.test('a listener that is bound to a registry', async (t) => {
  const rig = await Rig.start(t);
  const image = makeImage({ seed: 2, layers: [10] });
  rig.origin.addImage('org/app', 'v1', image);
  const answer = await rig.ask('/v2/org/app/manifests/v1', { port: rig.boundPort });
  t.ok(answer.body.equals(image.index.bytes));
  const other = await rig.ask('/v2/org/app/manifests/v1?ns=docker.io', { port: rig.boundPort });
  t.equal(errorIn(other).detail.code, 'NAMESPACE_CONFLICT');
});

t.test('one line a request, without a query', async (t) => {
  const rig = await Rig.start(t);
  await rig.ask('/v2/?password=hunter2');
  await rig.ask(`/v2/a/tags/list${NS}&token=hunter2`);
  await rig.ask(`/v2/A?token=hunter2`);
  await until(() => rig.lines.filter((line) => line.includes('"status"')).length === 3);
  const lines = rig.lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => 'status' in line);
  t.match(lines[0], { level: 20, code: 'REQUEST', method: 'GET', path: '/v2/', status: 200, whole: true });
  t.match(lines[1], { level: 30, path: '/v2/a/tags/list', ns: REGISTRY, status: 404 });
  t.match(lines[2], { level: 30, code: 'NAME_INVALID', status: 400 });
  t.notOk(rig.lines.some((line) => line.includes('hunter2')));
});

t.test('a fault of Hawker’s own is a 404 that gives nothing away, and an error in the log', async (t) => {
  const rig = await Rig.start(t);
  rig.refs.linkOf = () => Promise.reject(new TypeError('what nobody thought of'));
  const answer = await rig.ask(`/v2/a/blobs/sha256:${HEX}${NS}`);
  t.equal(answer.status, 404);
  t.equal(errorIn(answer).detail.code, 'INTERNAL');
  t.notMatch(answer.body.toString(), 'nobody');
  await until(() => rig.lines.some((line) => line.includes('"level":50') && line.includes('what nobody thought of')));
});
