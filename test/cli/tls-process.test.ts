import { spawn } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type PeerCertificate } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { TlsFiles } from '../../src/p2p/protocol/tls-files.ts';
import { eventually } from '../support/cluster.ts';
import { TestCa } from '../support/test-ca.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HAWKER_')));

function run(t: Test, ...argv: string[]) {
  const child = spawn(process.execPath, [MAIN, ...argv], { env: ENVIRONMENT });
  t.teardown(() => child.kill('SIGKILL'));
  const run = { child, out: '', err: '', ended: once(child, 'close').then(([status]) => status as number | null) };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (run.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (run.err += text));
  return run;
}

// Processes are started, which takes its time on a busy machine.
t.setTimeout(900_000);

const flagsOf = ({ cert, key, ca }: TlsFiles) =>
  ['--cluster-tls-cert', cert, '--cluster-tls-key', key, '--cluster-tls-ca', ca] as const;

async function certificateAt(port: number, { cert, key, ca }: TlsFiles): Promise<PeerCertificate> {
  const [ownCert, ownKey, authority] = [cert, key, ca].map((path) => readFileSync(path));
  const socket = connect({ port, host: '127.0.0.1', cert: ownCert!, key: ownKey!, ca: authority! });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerCertificate();
  socket.resume().end();
  await once(socket, 'close');
  return certificate;
}

t.test('a real supernode: asked by TLS, new certificates by SIGHUP, faulty ones refused', async (t) => {
  const ca = TestCa.root(t);
  const dir = t.testdir({});
  const files = { cert: `${dir}/tls.crt`, key: `${dir}/tls.key`, ca: ca.cert };
  const install = (from: TlsFiles) => {
    copyFileSync(from.cert, files.cert);
    copyFileSync(from.key, files.key);
  };
  install(ca.issue('first'));
  const supernode = run(t, 'supernode', '--supernode-listen', '127.0.0.1:0', '--log-format', 'json', ...flagsOf(files));
  const logged = (pattern: RegExp) => eventually(String(pattern), async () => pattern.test(supernode.out));
  await logged(/"code":"LISTENING"/);
  const port = Number(/"address":"127\.0\.0\.1:(\d+)"/.exec(supernode.out)![1]);
  const member = ca.issue('member');
  t.equal((await certificateAt(port, member)).subject.CN, 'first');

  const url = `https://127.0.0.1:${port}`;
  const peers = run(t, 'peers', '--json', '--supernodes', url, ...flagsOf(member));
  t.equal(await peers.ended, 0, peers.err);
  t.same(JSON.parse(peers.out), { peers: [], rejected: [] });

  install(ca.issue('second'));
  supernode.child.kill('SIGHUP');
  await logged(/"code":"CERTIFICATES_TAKEN"/);
  t.equal((await certificateAt(port, member)).subject.CN, 'second');

  copyFileSync(ca.issue('other').key, files.key);
  supernode.child.kill('SIGHUP');
  await logged(/"code":"CLUSTER_TLS_UNUSABLE"[^\n]*it stays as it was/);
  t.equal((await certificateAt(port, member)).subject.CN, 'second');
  supernode.child.kill('SIGTERM');
  t.equal(await supernode.ended, 0);
  const key = readFileSync(files.key, 'utf8').split('\n')[1]!;
  t.notMatch(supernode.out + supernode.err, key, 'no key in the log');
});

t.test('what cannot be used is one line at the start', async (t) => {
  const ca = TestCa.root(t);
  const expired = run(t, 'supernode', '--supernode-listen', '127.0.0.1:0', ...flagsOf(ca.issue('x', { days: -1 })));
  t.equal(await expired.ended, 1);
  t.match(
    expired.err,
    /^hawker: CLUSTER_TLS_UNUSABLE: cluster\.tls\.cert \(.+\) cannot be used: CN=x has expired at .*\n$/,
  );
  const half = run(t, 'supernode', '--supernode-listen', '127.0.0.1:0', '--cluster-tls-cert', '/x');
  t.equal(await half.ended, 2);
  t.match(half.err, /^hawker: CONFIG_INVALID: cluster\.tls\.key is not set/);
});
