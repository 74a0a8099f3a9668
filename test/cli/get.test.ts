import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { digestOf } from '../../src/base/digest.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import type { Signal } from '../../src/cli/process-port.ts';
import type { Config } from '../../src/config/config.ts';
import { runCommand } from '../support/cli.ts';
import { eventually, nodeConfig, urlOf } from '../support/cluster.ts';
import { FileServer } from '../support/file-server.ts';

interface Scene {
  readonly server: FileServer;
  readonly config: Config;
  readonly proxy: Service;
  /** `host:port` of the proxy's API. */
  readonly api: string;
  /** Where files are put. */
  readonly dir: string;
  readonly get: (...args: string[]) => ReturnType<typeof runCommand>;
}

/** A proxy that is alone, and a file server. */
async function scene(t: Test, size: number): Promise<Scene> {
  const server = await FileServer.start(t, size);
  const root = t.testdir({ out: {} });
  const files = [`${server.url}/**`];
  const config = nodeConfig({ dir: join(root, 'store'), origin: 'http://127.0.0.1:1', supernodes: [], files });
  const proxy = await startProxyService(config, { log: silentLogger });
  t.teardown(() => proxy.stop());
  const api = urlOf(proxy, 'api').replace('http://', '');
  const dir = join(root, 'out');
  const get = (...args: string[]) => runCommand(['get', '--api-listen', api, ...args], { directory: dir });
  return { server, config, proxy, api, dir, get };
}

const right = (t: Test, { server, dir }: Scene, name: string): void => {
  t.ok(readFileSync(join(dir, name)).equals(server.bytes), `${name} is right`);
  t.same(
    readdirSync(dir).filter((one) => one.startsWith('.')),
    [],
    'and nothing else is left',
  );
};

t.test('gets a file, by its name alone, and by its digest', async (t) => {
  const at = await scene(t, 3 * MiB + 7);
  const { server, get } = at;
  const url = `${server.url}/tool.tar.gz`;
  const first = await get(url, '-o', 'a');
  t.match(first, { status: 0, err: '' });
  t.match(first.out, /^a {2}3 MiB in \d+\.\d s: 3 MiB from the origin\nsha256:[0-9a-f]{64}\n$/);
  t.notMatch(first.out, /\u001B/, 'no colours or bars where it is no terminal');
  right(t, at, 'a');
  const json = await get(url, '-o', 'b', '--json');
  t.match(JSON.parse(json.out), {
    file: join(at.dir, 'b'),
    bytes: server.bytes.length,
    sha256: server.sha256.slice(7),
    sources: { store: server.bytes.length, peers: 0, origin: 0 },
    shared: true,
    alreadyThere: false,
    ms: Number,
  });
  right(t, at, 'b');
  t.match(await get(url, '-o', 'c', '--sha256', server.sha256), { status: 0, err: '' });
  right(t, at, 'c');
  const requests = server.requests.length;
  const again = await get(url, '-o', 'c', '--sha256', server.sha256.toUpperCase().replace('SHA256', 'sha256'));
  t.match(again.out, /it is there already/);
  t.equal(server.requests.length, requests, 'nobody was asked');
});

t.test('says so when a file cannot be shared', async (t) => {
  const at = await scene(t, MiB);
  at.server.etag = 'W/"weak"';
  const { status, out } = await at.get(`${at.server.url}/x`, '-o', 'x');
  t.equal(status, 0);
  t.match(out, /straight from its server/);
  right(t, at, 'x');
  at.server.bytes = Buffer.alloc(0);
  at.server.etag = '"none"';
  t.match(await at.get(`${at.server.url}/x`, '-o', 'x'), { status: 0 });
  right(t, at, 'x');
});

t.test('what fails leaves nothing under the file’s name, and says why in one line', async (t) => {
  const at = await scene(t, 2 * MiB);
  const { server, get, dir } = at;
  writeFileSync(join(dir, 'x'), 'what was there');
  const fails = async (code: string, ...args: string[]) => {
    const { status, out, err } = await get(...args, '-o', 'x');
    t.match({ status, out }, { status: 1, out: '' });
    t.match(err, new RegExp(`^hawker: ${code}: [^\\n]+\\n$`));
    t.equal(readFileSync(join(dir, 'x'), 'utf8'), 'what was there');
    t.same(readdirSync(dir), ['x']);
  };
  await fails('FILE_DIGEST_MISMATCH', `${server.url}/x`, '--sha256', digestOf('another').slice(7));
  await fails('FILE_NOT_ALLOWED', 'https://elsewhere.example/x');
  await fails('FILE_URL_INVALID', server.url.replace('http://', 'http://me:secret@'));
  server.status = 404;
  await fails('ORIGIN_NOT_FOUND', `${server.url}/x`);
  server.status = 403;
  await fails('ORIGIN_DENIED', `${server.url}/x`);
  server.status = 200;
  const nowhere = await get(`${server.url}/x`, '-o', 'no/such/dir/x');
  t.match(nowhere, { status: 1, err: /^hawker: GET_NOT_WRITTEN: / });
  mkdirSync(join(dir, 'y'));
  t.match(await get(`${server.url}/x`, '-o', 'y'), { status: 1, err: /GET_NOT_WRITTEN: .*directory/ });
  const usage = await get('ftp://x/y', '-o', 'x');
  t.match(usage, { status: 2, err: /http:\/\/ or https:\/\// });
  t.match(await get(`${server.url}/x`), { status: 2, err: /--output/ });
  t.match(await get(`${server.url}/x`, '-o', 'x', '--sha256', 'abc'), { status: 2, err: /64 hexadecimal/ });
});

t.test('to standard output: with a digest the end comes when it is right, and only then', async (t) => {
  const at = await scene(t, 3 * MiB + 7);
  const { server, get, dir } = at;
  const url = `${server.url}/x`;
  const latin = server.bytes.toString('latin1');
  for (const more of [[], ['--sha256', server.sha256]]) {
    const { status, out, err } = await get(url, '-o', '-', ...more);
    t.same({ status, err, right: out === latin }, { status: 0, err: '', right: true });
  }
  const wrong = await get(url, '-o', '-', '--sha256', digestOf('another').slice(7));
  t.match(wrong, { status: 1, err: /^hawker: FILE_DIGEST_MISMATCH: / });
  t.ok(wrong.out.length < latin.length, 'not all of it');
  server.etag = undefined;
  server.authorization = 'Bearer x';
  const login = ['--header', 'Authorization: Bearer x'];
  const straight = await get(url, '-o', '-', ...login, '--sha256', digestOf('another').slice(7));
  t.match(straight, { status: 1, err: /^hawker: GET_WRONG_DIGEST: .*standard output/ });
  t.ok(latin.startsWith(straight.out) && straight.out.length <= latin.length - 16 * 1024, 'the end is held back');
  t.ok((await get(url, '-o', '-', ...login)).out === latin);
  server.cutAfter = 2 * MiB;
  server.stepMs = 2;
  const cut = await get(url, '-o', '-', ...login);
  t.match(cut, { status: 1, err: /^hawker: GET_STREAM_BROKEN: / }, 'what has gone out cannot be taken back');
  t.ok(latin.startsWith(cut.out));
  t.match(await get(url, '-o', '-', '--json'), { status: 2, err: /--json/ });
  t.same(readdirSync(dir), []);
  const write = () => Promise.reject(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  const closed = await runCommand(['get', '--api-listen', at.api, url, '-o', '-', ...login], { write });
  t.match(closed, { status: 1, err: /GET_NOT_WRITTEN: standard output/ });
});

t.test('a login from a file, a netrc or a header; it comes up nowhere', async (t) => {
  const at = await scene(t, 100_000);
  const { server, get, dir } = at;
  const url = `${server.url}/x`;
  const secret = 'the-token-of-alice';
  const put = (name: string, text: string, mode = 0o600) => writeFileSync(join(dir, '..', name), text, { mode });
  put('headers', `# mine\nAuthorization: Bearer ${secret}\n`);
  put('netrc', `machine other.test login bob password no\nmachine 127.0.0.1 login alice password ${secret}\n`);
  put('open', `Authorization: Bearer ${secret}\n`, 0o644);
  const fails = async (error: RegExp, status: number, ...args: string[]) => {
    const got = await get(url, '-o', 'x', ...args);
    t.match(got, { status, err: error });
    t.notMatch(got.err + got.out, secret);
  };
  server.authorization = `Bearer ${secret}`;
  await fails(/ORIGIN_UNAUTHORIZED/, 1);
  const got = await get(url, '-o', 'x', '--header-file', '../headers');
  t.match(got, { status: 0, err: '', out: /kept from other users/ });
  right(t, at, 'x');
  t.match(await get(url, '-o', 'y', '--header', `authorization: Bearer ${secret}`), { status: 0 });
  t.match(await get(url, '-o', 'z', '--header-file', '../headers', '--sha256', server.sha256), { status: 0, err: '' });
  await fails(/GET_LOGIN_UNUSABLE: .*mode 0644/, 1, '--header-file', '../open');
  await fails(/GET_LOGIN_UNUSABLE: .*ENOENT/, 1, '--header-file', '../none');
  await fails(/FILE_HEADER_INVALID: .*host/, 1, '--header', `Host: ${secret}`);
  await fails(/USAGE: .*Name: value/, 2, '--header', secret);
  server.authorization = `Basic ${Buffer.from(`alice:${secret}`).toString('base64')}`;
  t.match(await get(url, '-o', 'n', '--netrc-file', '../netrc'), { status: 0, err: '' });
  put('netrc', `machine other.test login bob password ${secret}\n`);
  await fails(/GET_LOGIN_UNUSABLE: .*no login for 127\.0\.0\.1/, 1, '--netrc-file', '../netrc');
  t.match(await runCommand(['get', '--help']), {
    out: /--header-file <file>[^]*--netrc-file <file>[^]*to no other that it leads to/,
  });
});

t.test('no proxy: it says how to have one', async (t) => {
  const at = await scene(t, 1000);
  await at.proxy.stop();
  t.match(await at.get(`${at.server.url}/x`, '-o', 'x'), { status: 1, err: /SERVICE_UNREACHABLE: .*hawker proxy/ });
});

t.test('stopped, and started again, it goes on where it was', async (t) => {
  const at = await scene(t, 6 * MiB);
  const { server, api, dir } = at;
  let go: (() => void) | undefined;
  server.holdAt = 4 * MiB;
  server.hold = () =>
    new Promise((resolve) => {
      if (go) resolve();
      else go = resolve;
    });
  const listeners = new Map<Signal, () => void>();
  const argv = ['get', '--api-listen', api, `${server.url}/x`, '-o', 'x'];
  const onSignal = (signal: Signal, listener: () => void): void => void listeners.set(signal, listener);
  const stopped = runCommand(argv, { directory: dir, onSignal });
  const partSize = (): number => {
    const [name] = readdirSync(dir);
    return name === undefined ? 0 : readFileSync(join(dir, name)).length;
  };
  await eventually('a part of it is there', async () => partSize() >= 3 * MiB);
  listeners.get('SIGINT')!();
  t.match(await stopped, { status: 1, out: '', err: /^hawker: INTERRUPTED: .*kept/ });
  const kept = partSize();
  t.ok(kept >= 3 * MiB, `${kept} bytes are kept`);
  t.match(readdirSync(dir), [/^\.x\.[0-9a-f]{32}\.hawker-part$/]);
  go!();
  server.holdAt = Infinity;
  const json = await at.get(`${server.url}/x`, '-o', 'x', '--json');
  t.match(JSON.parse(json.out), { bytes: 6 * MiB, kept: kept - 1 });
  right(t, at, 'x');
  // Another version: nothing of the old one is taken.
  const old = server.bytes;
  writeFileSync(join(dir, `.x.${'0'.repeat(32)}.hawker-part`), old.subarray(0, MiB));
  server.change('"v2"');
  t.match(await at.get(`${server.url}/x`, '-o', 'x'), { status: 0 });
  right(t, at, 'x');
});

t.test('what breaks off behind a login goes on where it was, too', async (t) => {
  const at = await scene(t, 6 * MiB);
  const { server, get } = at;
  server.authorization = 'Bearer x';
  server.cutAfter = 4 * MiB;
  server.stepMs = 1;
  t.match(await get(`${server.url}/x`, '-o', 'x', '--header', 'Authorization: Bearer x'), { status: 0, err: '' });
  right(t, at, 'x');
  t.ok(server.bytesOut < 8 * MiB, `${server.bytesOut} bytes were sent, and not all of them anew`);
  const { method, headers } = server.requests.at(-1)!;
  t.match([method, headers.range, headers.authorization], ['GET', /^bytes=[1-9]\d*-/, 'Bearer x']);
});

t.test('the proxy goes away while the file comes, and is back: it goes on', async (t) => {
  const at = await scene(t, 6 * MiB);
  const { server, config, dir, proxy } = at;
  const api = Number(new URL(urlOf(proxy, 'api')).port);
  server.holdAt = 4 * MiB;
  let go: (() => void) | undefined;
  server.hold = () =>
    new Promise((resolve) => {
      go = resolve;
    });
  const got = at.get(`${server.url}/x`, '-o', 'x');
  await eventually('a part of it is there', async () => {
    const [name] = readdirSync(dir);
    return name !== undefined && readFileSync(join(dir, name)).length >= 3 * MiB;
  });
  await proxy.stop();
  server.holdAt = Infinity;
  go!();
  const back = await startProxyService(
    { ...config, api: { listen: { host: '127.0.0.1', port: api } } },
    { log: silentLogger },
  );
  t.teardown(() => back.stop());
  t.match(await got, { status: 0, err: '' });
  right(t, at, 'x');
});

t.test('on a terminal there is a bar', async (t) => {
  const at = await scene(t, 3 * MiB);
  at.server.stepMs = 10;
  const environment = { LANG: 'C.UTF-8' };
  const more = { isTerminal: true, columns: () => 100, environment, directory: at.dir };
  const { status, out } = await runCommand(['get', '--api-listen', at.api, `${at.server.url}/x`, '-o', 'x'], more);
  t.equal(status, 0);
  t.match(out, /\u001B\[33m█/, 'in the colour of the origin');
  t.match(out, /of 3 MiB/);
});
