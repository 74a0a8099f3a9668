import { copyFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import t, { type Test } from 'tap';
import { apiTls, ENDS_SOON_MS, LOOK_MS, startClusterTls, WARN_MS } from '../../src/app/cluster-tls.ts';
import { Lifecycle } from '../../src/app/lifecycle.ts';
import { Reloads } from '../../src/app/reloads.ts';
import { createLogger } from '../../src/base/log.ts';
import type { Config } from '../../src/config/config.ts';
import type { ClusterTls } from '../../src/p2p/protocol/cluster-tls.ts';
import { nameOf, type TlsFiles } from '../../src/p2p/protocol/tls-files.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { TestCa } from '../support/test-ca.ts';

interface Line {
  readonly code: string;
  readonly level: string;
  readonly msg: string;
  readonly todo?: string;
}

const configOf = (tls: TlsFiles | undefined) =>
  ({ cluster: { secretFile: undefined, operatorTokenFile: undefined, tls } }) as Config;

async function start(t: Test, files: TlsFiles | undefined) {
  const lines: Line[] = [];
  const destination = new Writable({
    write: (chunk: Buffer, _, done) => {
      lines.push(JSON.parse(chunk.toString()) as Line);
      done();
    },
  });
  const log = createLogger({ level: 'info', format: 'json', destination });
  const clock = new ManualClock(Date.now() + 60_000);
  const lifecycle = new Lifecycle({ log, clock });
  t.teardown(() => lifecycle.stop());
  const reloads = new Reloads();
  const tls = await startClusterTls(configOf(files), { log, lifecycle, reloads, clock });
  return { tls, lines, clock, reloads };
}

/** The same files under names of their own, which can be replaced. */
function copied(t: Test, files: TlsFiles): TlsFiles {
  const dir = t.testdir({});
  const at = { cert: `${dir}/tls.crt`, key: `${dir}/tls.key`, ca: `${dir}/ca.crt` };
  copyOver(files, at);
  return at;
}

function copyOver(from: TlsFiles, to: TlsFiles): void {
  for (const name of ['cert', 'key', 'ca'] as const) copyFileSync(from[name], to[name]);
}

/** Lets time pass, in steps, and the files be read in between, until something holds. */
async function forward(clock: ManualClock, stepMs: number, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    if (tries > 1000) throw new Error('it did not come to this');
    await clock.advance(stepMs);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

const ownOf = (tls: ClusterTls | undefined) => nameOf(tls!.material.chain[0]!);

t.test('none is set: there is no TLS', async (t) => {
  const { tls, reloads } = await start(t, undefined);
  t.equal(tls, undefined);
  t.same(
    await reloads.run(configOf({ cert: '/a', key: '/b', ca: '/c' })),
    { keys: [], errors: [] },
    'and a restart brings it',
  );
  t.equal(await apiTls(configOf(undefined)), undefined);
});

t.test('what cannot be used ends the start', async (t) => {
  const ca = TestCa.root(t);
  await t.rejects(start(t, ca.issue('x', { days: -1 })), { code: 'CLUSTER_TLS_UNUSABLE', message: /has expired/ });
});

t.test('a reload reads the files again; a bad one leaves those of before in force', async (t) => {
  const ca = TestCa.root(t);
  const files = copied(t, ca.issue('first'));
  const { tls, lines, reloads } = await start(t, files);
  const context = tls!.client;
  copyOver(ca.issue('second'), files);
  const keys = ['cluster.tls.cert', 'cluster.tls.key', 'cluster.tls.ca'];
  t.same(await reloads.run(configOf(files)), { keys, errors: [] });
  t.equal(ownOf(tls), 'CN=second');
  t.not(tls!.client, context, 'the next connections have it');
  t.match(lines, [{ code: 'CERTIFICATES_TAKEN', msg: /first to end is CN=second/ }]);

  writeFileSync(files.cert, 'nothing');
  t.match(await reloads.run(configOf(files)), { keys: [], errors: [{ code: 'CLUSTER_TLS_UNUSABLE' }] });
  t.match(await reloads.run(configOf(undefined)), { keys: [], errors: [{ code: 'CLUSTER_TLS_TAKEN_AWAY' }] });
  t.equal(ownOf(tls), 'CN=second');

  const elsewhere = ca.issue('third');
  t.same(await reloads.run(configOf(elsewhere)), { keys, errors: [] });
  t.equal(ownOf(tls), 'CN=third', 'other paths are taken up too');
});

t.test('files that change are seen within a minute, half of them too', async (t) => {
  const ca = TestCa.root(t);
  const files = copied(t, ca.issue('first'));
  const { tls, lines, clock } = await start(t, files);
  const second = ca.issue('second');
  // The key comes a moment later: until then the two do not fit.
  copyFileSync(second.cert, files.cert);
  await forward(clock, LOOK_MS, () => lines.length === 1);
  t.match(lines, [
    { code: 'CLUSTER_TLS_UNUSABLE', level: 'error', msg: /of before stay in use:.*does not fit/, todo: String },
  ]);
  t.equal(ownOf(tls), 'CN=first');
  copyFileSync(second.key, `${files.key}.new`);
  renameSync(`${files.key}.new`, files.key);
  await forward(clock, LOOK_MS, () => ownOf(tls) === 'CN=second');
  // As Kubernetes renews what a pod has mounted: a link is turned.
  const third = ca.issue('third');
  for (const name of ['cert', 'key'] as const) {
    unlinkSync(files[name]);
    symlinkSync(third[name], files[name]);
  }
  await forward(clock, LOOK_MS, () => ownOf(tls) === 'CN=third');
  t.equal(lines.filter(({ code }) => code === 'CERTIFICATES_TAKEN').length, 2);
});

t.test('an end that comes near is told once a day, and the end too', async (t) => {
  const ca = TestCa.root(t);
  const { lines, clock } = await start(t, ca.issue('node', { days: 15 }));
  t.same(lines, []);
  const told = (count: number) => forward(clock, LOOK_MS * 30, () => lines.length >= count);
  await told(1);
  t.match(lines, [{ code: 'CERTIFICATE_ENDS', level: 'warn', msg: /CN=node ends in/, todo: /new certificate/ }]);
  const at = clock.now();
  await told(2);
  t.ok(clock.now() - at >= WARN_MS - LOOK_MS * 60, 'a day later');
  await forward(clock, LOOK_MS * 120, () => lines.some(({ msg }) => /has ended/.test(msg)));
  t.ok(lines.length <= ENDS_SOON_MS / WARN_MS + 2, `${lines.length} lines in two weeks`);
});

t.test('a command: the certificates, or the CA alone', async (t) => {
  const ca = TestCa.root(t);
  t.match(await apiTls(configOf(ca.issue('node'))), { cert: /BEGIN CERTIFICATE/, key: /PRIVATE KEY/, ca: String });
  await t.rejects(apiTls(configOf({ ...ca.issue('node'), key: '/nothing' })), { code: 'CLUSTER_TLS_UNUSABLE' });
});
