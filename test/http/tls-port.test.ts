import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { clientCertificate } from '../../src/http/client-certificate.ts';
import { MAX_HANDSHAKES_PER_ADDRESS, TlsPort } from '../../src/http/tls-port.ts';
import type { TlsFiles } from '../../src/p2p/protocol/tls-files.ts';
import { until } from '../support/piece-rig.ts';
import { TestCa } from '../support/test-ca.ts';
import { whenClosed } from '../support/when-closed.ts';

interface Rig {
  readonly ca: TestCa;
  readonly port: number;
  readonly told: string[];
  readonly tlsPort: TlsPort;
  /** What the server says of the client's certificate, and the session that may be resumed. */
  readonly ask: (options: ConnectionOptions) => Promise<{ said: string; session: Buffer | undefined }>;
}

/** A server that resumes sessions, as Node's do unless told otherwise. */
async function serverOf(t: Test): Promise<Rig> {
  const ca = TestCa.root(t);
  const { cert, key } = ca.issue('server');
  const pem = { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca.cert) };
  const server = createServer({ ...pem, requestCert: true, rejectUnauthorized: false }, ({ socket }, response) => {
    response.end(clientCertificate(socket).state);
  });
  const told: string[] = [];
  const tlsPort = new TlsPort(server, {
    refusalHeader: 'Refusal',
    plain: (from, beginning) => told.push(`plain ${from} ${beginning.split('\r\n')[0]}`),
    failed: (from, why) => told.push(`failed ${from} ${why}`),
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    tlsPort.close();
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask: Rig['ask'] = async (options) => {
    const socket = connectTls({ port, host: '127.0.0.1', ca: pem.ca, ...options });
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    let session: Buffer | undefined;
    socket.on('session', (fresh) => (session = fresh));
    const [data] = (await once(socket, 'data')) as [Buffer];
    // One that is resumed may get no other session.
    if (!options.session) await until(() => session !== undefined);
    socket.destroy();
    return { said: data.toString().split('\r\n').at(-1)!, session };
  };
  return { ca, port, told, tlsPort, ask };
}

function pemOf({ cert, key }: TlsFiles): ConnectionOptions {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

t.test('who shows what; a session that is resumed makes nobody a member', async (t) => {
  const { ca, ask } = await serverOf(t);
  const member = pemOf(ca.issue('member'));
  t.equal((await ask(member)).said, 'accepted');
  const other = pemOf(TestCa.root(t, 'other').issue('other'));
  const [none, refused] = [await ask({}), await ask(other)];
  t.equal(none.said, 'none');
  t.equal(refused.said, 'refused');
  // Node says `authorized` of the first of these.
  t.equal((await ask({ session: none.session! })).said, 'none');
  t.equal((await ask({ ...other, session: refused.session! })).said, 'refused');
  const again = await ask(member);
  t.equal((await ask({ ...member, session: again.session! })).said, 'accepted');
});

t.test('a request without TLS is told that it is needed', async (t) => {
  const { port, told } = await serverOf(t);
  const socket = connect(port, '127.0.0.1');
  socket.end('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const answer = Buffer.concat(chunks).toString();
  t.match(answer, /^HTTP\/1\.1 426 .*\r\nRefusal: TLS_NEEDED\r\n[^]*\r\n\r\n\{"code":"TLS_NEEDED"/);
  t.same(told, ['plain 127.0.0.1 GET /livez HTTP/1.1']);
});

t.test('handshakes that come to nothing are told of; connections without a byte are not', async (t) => {
  const { port, told, ask } = await serverOf(t);
  const untrusting = connectTls({ port, host: '127.0.0.1' });
  const [error] = (await once(untrusting, 'error')) as [Error & { code: string }];
  t.equal(error.code, 'SELF_SIGNED_CERT_IN_CHAIN');
  await until(() => told.length === 1);
  const nonsense = connect(port, '127.0.0.1', () => nonsense.write(Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5])));
  nonsense.resume();
  await whenClosed(nonsense);
  await until(() => told.length === 2);
  const probe = connect(port, '127.0.0.1', () => probe.destroy());
  await whenClosed(probe);
  await ask({});
  t.match(told, [/^failed 127\.0\.0\.1 /, /^failed 127\.0\.0\.1 /]);
});

t.test('one address has a limited number of handshakes under way', async (t) => {
  const { port, tlsPort } = await serverOf(t);
  const sockets: Socket[] = [];
  let closed = 0;
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => (closed += 1));
    await once(socket, 'connect');
  };
  for (let i = 0; i < MAX_HANDSHAKES_PER_ADDRESS; i += 1) await open();
  await open();
  await until(() => closed === 1);
  t.equal(closed, 1, 'one too many');
  sockets[0]!.destroy();
  await until(() => closed === 2);
  tlsPort.close();
  await until(() => closed === sockets.length);
  t.pass('all that were waiting are ended');
});
