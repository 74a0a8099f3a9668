import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { PATIENCE_MS } from './support/patience.ts';

const MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url));

// A dozen processes are started, some of them of several parts: on a busy machine that takes its time.
t.setTimeout(900_000);

/** The environment without settings of Hawker, so that the caller's own do not matter. */
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HAWKER_')));

/** One run of the real program. */
class Run {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly ended: Promise<{ status: number | null; signal: string | null }>;
  readonly #changed: (() => void)[] = [];

  constructor(t: Test, argv: string[], environment: Record<string, string> = {}, node: string[] = []) {
    this.child = spawn(process.execPath, [...node, MAIN, ...argv], { env: { ...ENVIRONMENT, ...environment } });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => this.#add('out', text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => this.#add('err', text));
    this.ended = once(this.child, 'close').then(([status, signal]) => ({ status, signal }) as never);
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  #add(stream: 'out' | 'err', text: string): void {
    this[stream] += text;
    for (const check of this.#changed) check();
  }

  /** Resolves when standard output has the text; rejects when the program ends first, or after a bound. */
  until(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`${String(pattern)} did not come.\n${this.out}\n${this.err}`));
      const timer = setTimeout(fail, PATIENCE_MS);
      const check = () => {
        if (!pattern.test(this.out)) return;
        clearTimeout(timer);
        resolve();
      };
      this.#changed.push(check);
      void this.ended.then(fail);
      check();
    });
  }
}

async function run(
  t: Test,
  argv: string[],
  environment?: Record<string, string>,
): Promise<Run & { status: number | null }> {
  const result = new Run(t, argv, environment);
  const { status } = await result.ended;
  return Object.assign(result, { status });
}

function up(t: Test, more: string[] = [], node: string[] = []): Run {
  const free = ['proxy', 'peer', 'api', 'supernode'].flatMap((part) => [`--${part}-listen`, '127.0.0.1:0']);
  return new Run(t, ['up', ...free, '--store-dir', t.testdir({}), ...more], {}, node);
}

t.test('version and help: status 0, on standard output', async (t) => {
  const [version, help] = await Promise.all([run(t, ['version', '--json']), run(t, ['--help'])]);
  t.equal(version.status, 0);
  t.match(JSON.parse(version.out), { version: /^\d/, protocol: /^\d/, node: process.version });
  t.equal(help.status, 0);
  t.match(help.out, /^Usage: hawker/);
  t.equal(version.err + help.err, '');
});

t.test('wrong usage and a wrong configuration: one line, status 2', async (t) => {
  const [usage, variable, unknown] = await Promise.all([
    run(t, ['upp']),
    run(t, ['up'], { HAWKER_STORE_QUOTA: 'lots' }),
    run(t, ['up'], { HAWKER_STORE_QOUTA: '1GiB' }),
  ]);
  t.match(usage.err, /^hawker: USAGE: .*upp.*up\?.*\n$/);
  t.match(variable.err, /^hawker: CONFIG_INVALID: store\.quota is "lots", .*\(HAWKER_STORE_QUOTA\).*\n$/);
  t.match(unknown.err, /^hawker: CONFIG_UNKNOWN_KEY: HAWKER_STORE_QOUTA .*HAWKER_STORE_QUOTA\?.*\n$/);
  t.same([usage.status, variable.status, unknown.status], [2, 2, 2]);
});

t.test('up says where it listens, in JSON, and drains on SIGTERM: status 0', async (t) => {
  const hawker = up(t);
  await hawker.until(/"code":"LISTENING","role":"mirror"[^]*"code":"LISTENING","role":"api"/);
  const lines = hawker.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { code?: string; address?: string });
  const addresses = lines.filter(({ code }) => code === 'LISTENING').map(({ address }) => address!);
  for (const address of addresses) {
    t.notMatch(address, /:0$/, 'the port that the system chose');
    t.ok(await fetch(`http://${address}/livez`).then((response) => response.status > 0), address);
  }
  hawker.child.kill('SIGTERM');
  t.same(await hawker.ended, { status: 0, signal: null });
  t.match(hawker.out, /"code":"STOPPED"/);
  t.equal(hawker.err, '');
});

t.test('SIGHUP reads the configuration again; SIGINT ends it', async (t) => {
  const hawker = up(t);
  await hawker.until(/"role":"api"/);
  hawker.child.kill('SIGHUP');
  await hawker.until(/"code":"CONFIG_RELOADED"/);
  hawker.child.kill('SIGINT');
  t.same(await hawker.ended, { status: 0, signal: null });
});

t.test('a port in use is one coded line, status 1', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
  const hawker = up(t, ['--proxy-listen', address]);
  t.equal((await hawker.ended).status, 1);
  t.match(hawker.err, /^hawker: ADDRESS_IN_USE: .*\n$/);
  t.match(hawker.err, address);
});

t.test('readers of its output that go away do no harm', async (t) => {
  const hawker = up(t);
  await hawker.until(/"role":"api"/);
  hawker.child.stdout!.destroy();
  hawker.child.stderr!.destroy();
  // What it logs now has nowhere to go: EPIPE.
  hawker.child.kill('SIGHUP');
  hawker.child.kill('SIGTERM');
  t.same(await hawker.ended, { status: 0, signal: null });
});

t.test('what nobody caught: a fatal line in the log, one on standard error, status 1', async (t) => {
  const thrower = "data:text/javascript,process.once('SIGUSR2',()=>{throw new Error('boom')})";
  const hawker = up(t, [], ['--import', thrower]);
  await hawker.until(/"role":"api"/);
  hawker.child.kill('SIGUSR2');
  t.equal((await hawker.ended).status, 1);
  t.match(hawker.out, /"level":"fatal".*"code":"UNCAUGHT".*boom/);
  t.match(hawker.err, /^hawker: UNKNOWN: boom\. .*\n$/);

  const rejecter = "data:text/javascript,Promise.reject(new Error('early'))";
  const early = new Run(t, ['version'], {}, ['--import', rejecter]);
  t.equal((await early.ended).status, 1);
  t.match(early.err, /early/);
});

t.test(
  'supernode, proxy, peers, blobs and status work together; a supernode that is gone is one line, status 1',
  async (t) => {
    const addressOf = (run: Run, role: string) => new RegExp(`"role":"${role}","address":"([^"]+)"`).exec(run.out)![1]!;
    const supernode = new Run(t, ['supernode', '--supernode-listen', '127.0.0.1:0']);
    await supernode.until(/"role":"supernode"/);
    const url = `http://${addressOf(supernode, 'supernode')}`;
    const free = ['--proxy-listen', '127.0.0.1:0', '--api-listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'];
    const proxy = new Run(t, ['proxy', ...free, '--store-dir', t.testdir({}), '--supernodes', url]);
    await proxy.until(/"role":"pieces"[^]*"role":"api"/);
    const deadline = performance.now() + PATIENCE_MS;
    for (let ready = false; !ready;) {
      if (performance.now() > deadline) throw new Error(`no peer was ready\n${proxy.out}\n${supernode.out}`);
      const { peers } = (await (await fetch(`${url}/api/v1/peers`)).json()) as { peers: { state: string }[] };
      ready = peers.some(({ state }) => state === 'ready');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const [peers, blobs, status] = await Promise.all([
      run(t, ['peers', '--supernodes', url]),
      run(t, ['blobs', '--json'], { HAWKER_SUPERNODES: url }),
      run(t, ['status', '--supernodes', url, '--api-listen', addressOf(proxy, 'api')]),
    ]);
    t.same([peers.status, blobs.status, status.status], [0, 0, 0], `${peers.err}${blobs.err}${status.err}`);
    t.match(peers.out, /^1 peer at \S+: 1 ready\.\n/);
    t.same(JSON.parse(blobs.out), { blobs: [] });
    t.match(status.out, /supernode  \S+ connected since [^]*peers      1 ready/);
    for (const each of [proxy, supernode]) {
      each.child.kill('SIGTERM');
      t.same(await each.ended, { status: 0, signal: null });
    }
    const gone = await run(t, ['peers', '--supernodes', url]);
    t.equal(gone.status, 1);
    t.match(gone.err, /^hawker: SERVICE_UNREACHABLE: [^\n]*\n$/);
  },
);

t.test('an open port without a join secret, and a bad secret file: one line', async (t) => {
  const [open, short] = await Promise.all([
    run(t, ['supernode', '--supernode-listen', '0.0.0.0:0']),
    run(t, ['supernode', '--cluster-secret-file', '/nope/secret']),
  ]);
  t.match(open.err, /^hawker: CONFIG_REFUSED: supernode\.listen is 0\.0\.0\.0:0, .*hawker token[^\n]*\n$/);
  t.match(short.err, /^hawker: CONFIG_REFUSED: cluster\.secretFile is \/nope\/secret, [^\n]*\n$/);
  t.same([open.status, short.status], [2, 2]);
});
