import t from 'tap';
import { parseAnswerHead } from '../../src/http/body-framing.ts';

const head = (...lines: string[]) => parseAnswerHead(lines.join('\r\n'));

t.test('where the body ends (RFC 9112, section 6.3)', async (t) => {
  t.match(head('HTTP/1.1 200 OK', 'Content-Length: 12'), { status: 200, framing: { kind: 'length', bytes: 12 } });
  t.match(head('HTTP/1.1 200', 'content-length: 12', 'Content-Length: 12').framing, { kind: 'length', bytes: 12 });
  t.match(head('HTTP/1.1 200 OK', 'Transfer-Encoding: Chunked').framing, { kind: 'chunked' });
  t.match(head('HTTP/1.1 200 OK').framing, { kind: 'close' });
  for (const status of [100, 103, 204, 304]) {
    t.match(head(`HTTP/1.1 ${status} x`, 'Content-Length: 12').framing, { kind: 'length', bytes: 0 }, String(status));
  }
});

t.test('what could be understood in two ways is no answer', async (t) => {
  for (const lines of [
    ['HTTP/1.1 200 OK', 'Content-Length: 1', 'Content-Length: 2'],
    ['HTTP/1.1 200 OK', 'Content-Length: 1', 'Transfer-Encoding: chunked'],
    ['HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, chunked'],
    ['HTTP/1.1 200 OK', 'Content-Length: -1'],
    ['HTTP/1.1 200 OK', 'Content-Length: 0x10'],
    ['HTTP/1.1 200 OK', 'Content-Length : 1'],
    ['HTTP/1.1 200 OK', ' folded'],
    ['HTTP/2 200'],
    ['SSH-2.0-OpenSSH'],
    ['HTTP/1.1 999 no'],
  ]) {
    t.throws(() => head(...lines), { code: 'BAD_RESPONSE_HEAD' }, lines.join(' | '));
  }
});

t.test('headers as node gives them', async (t) => {
  const { headers } = head('HTTP/1.1 200 OK', 'Link: a', 'link: b', 'Location: x', 'Location: y', 'Set-Cookie: 1');
  t.same({ ...headers }, { link: 'a, b', location: 'x', 'set-cookie': ['1'] });
});

t.test('how long the connection may be kept', async (t) => {
  const keepMs = (...lines: string[]) => head(...lines).keepMs;
  t.equal(keepMs('HTTP/1.1 200 OK'), Number.POSITIVE_INFINITY);
  t.equal(keepMs('HTTP/1.1 200 OK', 'Connection: close'), 0);
  t.equal(keepMs('HTTP/1.0 200 OK'), 0);
  t.equal(keepMs('HTTP/1.0 200 OK', 'Connection: keep-alive'), Number.POSITIVE_INFINITY);
  t.equal(keepMs('HTTP/1.1 200 OK', 'Keep-Alive: timeout=5, max=100'), 4000);
  t.equal(keepMs('HTTP/1.1 200 OK', 'Keep-Alive: timeout=1'), 0);
});
