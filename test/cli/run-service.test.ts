import fs, { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Reloads } from '../../src/app/reloads.ts';
import type { Service } from '../../src/app/service.ts';
import { SecretUnusable } from '../../src/p2p/protocol/errors.ts';
import { banner } from '../../src/cli/banner.ts';
import { sections } from '../../src/cli/config-flags.ts';
import type { ProcessPort, Signal } from '../../src/cli/process-port.ts';
import { reloadConfig } from '../../src/cli/reload.ts';
import { runService, type StartService } from '../../src/cli/run-service.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig, type ConfigSources } from '../../src/config/load.ts';
import { createLogger, type Logger } from '../../src/base/log.ts';
import { PATIENCE_MS } from '../support/patience.ts';

interface Entry {
  level: string;
  code?: string;
  keys?: string[];
  msg?: string;
}

const NOTHING: ConfigSources = {
  file: undefined,
  flags: {},
  environment: {},
  account: { root: false, home: '/home/me' },
  directory: '/',
};

/** As `up`: everything concerns it. */
const runUp = (sources: ConfigSources, port: ProcessPort, start: StartService) =>
  runService(sources, port, start, () => true);
const reload = (config: Config, sources: ConfigSources, log: Logger, service?: Pick<Service, 'reload'>) =>
  reloadConfig(config, service, sources, log, () => true);

/** A process in which signals come when the test says so. */
class FakeProcess implements ProcessPort {
  readonly argv = [];
  readonly environment = {};
  readonly account = NOTHING.account;
  readonly directory = '/';
  isTerminal = false;
  gone = false;
  printed = '';
  complained = '';
  readonly exits: number[] = [];
  readonly #listeners = new Map<Signal, () => void>();
  crash: (error: unknown) => void = () => {};

  async write(): Promise<void> {}
  print(text: string): void {
    this.printed += text;
  }
  complain(text: string): void {
    this.complained += text;
  }
  readSecret = async () => ({ text: '', isTyped: false });
  onSignal(signal: Signal, listener: () => void): void {
    this.#listeners.set(signal, listener);
  }
  onCrash(listener: (error: unknown) => void): void {
    this.crash = listener;
  }
  terminalGone(): boolean {
    return this.gone;
  }
  exit(status: number): void {
    this.exits.push(status);
  }
  send(signal: Signal): void {
    this.#listeners.get(signal)?.();
  }
}

/** Takes what goes to standard output: the log, which pino writes to the descriptor itself. */
class Output {
  text = '';
  readonly #restore: () => void;

  constructor(t: Test) {
    const writeSync = (_fd: number, text: string | Buffer) => {
      this.text += String(text);
      return Buffer.byteLength(text);
    };
    this.#restore = t.intercept(fs, 'writeSync', { value: writeSync }).restore;
  }

  /** Puts standard output back, and gives what was logged. */
  entries(): Entry[] {
    this.#restore();
    return this.text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Entry);
  }

  async until(pattern: RegExp): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!pattern.test(this.text)) {
      if (performance.now() > deadline) throw new Error(`${String(pattern)} was not logged: ${this.text}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

async function loggedBy(t: Test, work: () => Promise<unknown>): Promise<Entry[]> {
  const output = new Output(t);
  await work();
  return output.entries();
}

function serviceOf(stop: () => Promise<void> = async () => {}): Service {
  return {
    addresses: [
      { role: 'mirror', host: '::1', port: 4242 },
      { role: 'api', host: '127.0.0.1', port: 4243 },
    ],
    reload: async () => ({ keys: [], errors: [] }),
    stop,
  };
}

t.test('says where it listens, runs until SIGTERM, drains, and is done', async (t) => {
  const port = new FakeProcess();
  let stopped = 0;
  const logged = await loggedBy(t, async () => {
    const running = runUp(NOTHING, port, async (config) => {
      t.ok(Object.isFrozen(config));
      return serviceOf(async () => void (stopped += 1));
    });
    setImmediate(() => port.send('SIGTERM'));
    t.equal(await running, 0);
  });
  t.equal(stopped, 1);
  t.equal(port.printed, '', 'no banner where nobody reads');
  t.match(logged, [
    { level: 'info', code: 'LISTENING', role: 'mirror', address: '[::1]:4242' },
    { level: 'info', code: 'LISTENING', role: 'api', address: '127.0.0.1:4243' },
    { level: 'info', code: 'STOPPING', signal: 'SIGTERM' },
    { level: 'info', code: 'STOPPED' },
  ]);
});

t.test('a signal that comes twice at once counts once; one that comes later ends the process', async (t) => {
  const port = new FakeProcess();
  let now = 1000;
  t.intercept(performance, 'now', { value: () => now });
  let finish: () => void = () => {};
  const logged = await loggedBy(t, async () => {
    const running = runUp(NOTHING, port, async () => serviceOf(() => new Promise((r) => (finish = r))));
    setImmediate(() => {
      port.send('SIGINT');
      now += 20;
      port.send('SIGINT');
      t.same(port.exits, [], 'the terminal and npm each sent one');
      now += 1000;
      port.send('SIGTERM');
      t.same(port.exits, [1]);
      setImmediate(() => finish());
    });
    await running;
  });
  t.ok(logged.some(({ code }) => code === 'STOPPED_AT_ONCE'));
});

t.test('SIGTERM while it starts: it is stopped once it is up', async (t) => {
  const port = new FakeProcess();
  let stopped = false;
  await loggedBy(t, async () => {
    const status = await runUp(NOTHING, port, async () => {
      port.send('SIGTERM');
      return serviceOf(async () => void (stopped = true));
    });
    t.equal(status, 0);
  });
  t.ok(stopped);
});

t.test('what fails at start comes through', async (t) => {
  const failure = new Error('no');
  await t.rejects(
    runUp(NOTHING, new FakeProcess(), () => Promise.reject(failure)),
    failure,
  );
  await t.rejects(
    runUp({ ...NOTHING, flags: { 'log-level': 'x' } }, new FakeProcess(), async () => serviceOf()),
    {
      code: 'CONFIG_INVALID',
    },
  );
});

t.test('warnings of the configuration are logged', async (t) => {
  const directory = t.testdir({ 'h.yaml': 'upstreams: {a.b: {username: me, passwordFile: pw}}', pw: 'x' });
  chmodSync(join(directory, 'pw'), 0o644);
  const port = new FakeProcess();
  const logged = await loggedBy(t, async () => {
    await runUp({ ...NOTHING, file: 'h.yaml', directory }, port, async () => {
      port.send('SIGTERM');
      return serviceOf();
    });
  });
  t.match(logged[0], { level: 'warn', code: 'PASSWORD_FILE_OPEN', key: 'upstreams.a.b.passwordFile' });
});

t.test('what nobody caught is logged, said in one line, and ends the process', async (t) => {
  const port = new FakeProcess();
  const logged = await loggedBy(t, async () => {
    const running = runUp(NOTHING, port, async () => serviceOf());
    setImmediate(() => {
      port.crash(new Error('broken'));
      port.crash('only text');
      port.send('SIGTERM');
    });
    await running;
  });
  const fatal = logged.filter(({ level }) => level === 'fatal');
  t.match(fatal, [
    { code: 'UNCAUGHT', msg: /broken/, stack: /run-service\.test/ },
    { code: 'UNCAUGHT', msg: /only text/ },
  ]);
  t.match(port.complained, /^hawker: UNKNOWN: broken\. .*\nhawker: UNKNOWN: only text\. .*\n$/);
  t.same(port.exits, [1, 1]);
});

t.test('on a terminal a banner of under ten lines, quiet before it', async (t) => {
  const port = new FakeProcess();
  port.isTerminal = true;
  const output = new Output(t);
  const status = await runUp(NOTHING, port, async (_config, { log }) => {
    log.info('opened this and that');
    log.warn({ code: 'ODD' }, 'look at this');
    port.send('SIGINT');
    return serviceOf();
  });
  t.equal(status, 0);
  t.throws(() => output.entries(), SyntaxError, 'for people, not JSON');
  t.notMatch(output.text, /this and that|LISTENING/);
  t.match(output.text, /look at this[^]*SIGINT[^]*stopped/, 'warnings at once, all else afterwards');
  t.ok(port.printed.split('\n').length <= 9, port.printed);
  const top =
    /^Hawker \d+\.\d+\.\d+ is up\n {2}mirror {2}http:\/\/\[::1\]:4242\n {2}api {5}http:\/\/127\.0\.0\.1:4243\n/;
  t.match(port.printed, top);
});

t.test('the banner: addresses, data, one docker and one curl command, the demo', async (t) => {
  const { config } = await loadConfig({ ...NOTHING, account: { root: true, home: '/root' } });
  const text = banner('1.2.3', config, [
    { role: 'mirror', host: '127.0.0.1', port: 11, upstream: 'ghcr.io' },
    { role: 'mirror', host: '0.0.0.0', port: 12 },
    { role: 'api', host: '127.0.0.1', port: 13 },
  ]);
  t.match(text, 'http://127.0.0.1:11 (ghcr.io), http://0.0.0.0:12');
  t.match(text, '/var/lib/hawker (up to 20 GiB)');
  t.match(text, 'docker pull 127.0.0.1:12/docker.io/library/alpine');
  t.match(text, /curl \S* ?http:\/\/127\.0\.0\.1:12\/v2\//);
  t.match(text, 'hawker demo');
  t.match(banner('1', config, [{ role: 'mirror', host: '::', port: 1 }]), 'docker pull [::1]:1/');
  t.notMatch(banner('1', config, []), /docker pull/);
  t.match(banner('1', config, [], '/etc/hawker/hawker.yaml'), 'Hawker 1 is up (settings: /etc/hawker/hawker.yaml)\n');
});

t.test('the banner of a node with all parts is under ten lines, and says how others join', async (t) => {
  const { config } = await loadConfig(NOTHING);
  const mirror = { role: 'mirror', host: '127.0.0.1', port: 11 };
  const pieces = { role: 'pieces', host: '10.0.0.5', port: 12 };
  const supernode = { role: 'supernode', host: '0.0.0.0', port: 13 };
  const up = banner('1', config, [mirror, pieces, { role: 'api', host: '127.0.0.1', port: 14 }, supernode]);
  t.ok(up.trimEnd().split('\n').length < 10, up);
  t.match(up, '  swarm   http://0.0.0.0:13 (supernode), 10.0.0.5:12 (pieces)\n');
  t.match(up, /  join    hawker token/);
  t.match(up, '  look    http://127.0.0.1:13/   (the dashboard)\n');
  const proxy = banner('1', config, [mirror, pieces]);
  t.match(proxy, '  swarm   looks for http://127.0.0.1:6789, 10.0.0.5:12 (pieces)\n');
  t.notMatch(proxy, /join|dashboard/);
  t.notMatch(banner('1', { ...config, supernodes: [] }, [mirror, pieces]), /looks for/);
  t.notMatch(banner('1', config, [supernode]), /data|docker|mirror/);
});

t.test('SIGHUP: the log level changes, a faulty file changes nothing, the rest waits for a restart', async (t) => {
  const directory = t.testdir({ 'h.yaml': 'log: {level: info}' });
  const write = (yaml: string) => writeFileSync(join(directory, 'h.yaml'), yaml);
  const sources = { ...NOTHING, file: 'h.yaml', directory };
  const entries: Entry[] = [];
  const log = createLogger({
    level: 'info',
    format: 'json',
    destination: { write: (line) => void entries.push(JSON.parse(line) as Entry) },
  });
  const child = log.child({ part: 'mirror' });
  let config: Config = (await loadConfig(sources)).config;
  child.debug('unseen');
  write('log: {level: debug}');
  config = await reload(config, sources, log);
  t.equal(config.log.level, 'debug');
  child.debug('seen');
  t.match(entries, [
    { code: 'CONFIG_RELOADED', keys: ['log.level'] },
    { msg: 'seen', part: 'mirror' },
  ]);

  entries.length = 0;
  write('log: {level: debug}\nstore: {quota: 1GiB}\nproxy: {staleTags: 1h}');
  for (let i = 0; i < 2; i += 1) {
    config = await reload(config, sources, log);
    t.match(entries.at(-1), { level: 'warn', code: 'CONFIG_NEEDS_RESTART', keys: ['proxy.staleTags', 'store.quota'] });
  }
  t.equal(config.store.quotaBytes, 20 * 1024 ** 3);

  entries.length = 0;
  write('log: {level: loud}');
  t.equal(await reload(config, sources, log), config);
  t.match(entries, [{ level: 'error', code: 'CONFIG_INVALID', msg: /stays: log\.level is "loud"/, todo: /allowed/ }]);

  entries.length = 0;
  writeFileSync(join(directory, 'pw'), 'x', { mode: 0o644 });
  write('log: {level: info}\nupstreams: {a.b: {username: me, passwordFile: pw}}');
  await reload(config, sources, log);
  t.match(entries, [{ code: 'PASSWORD_FILE_OPEN' }, { code: 'CONFIG_RELOADED' }, { keys: ['upstreams'] }]);
});

t.test('SIGHUP: the service takes up what it can, and what it cannot stays', async (t) => {
  const directory = t.testdir({ 'h.yaml': '' });
  const sources = { ...NOTHING, file: 'h.yaml', directory };
  const entries: Entry[] = [];
  const destination = { write: (line: string) => void entries.push(JSON.parse(line) as Entry) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const { config } = await loadConfig(sources);
  writeFileSync(join(directory, 'h.yaml'), 'proxy: {staleTags: 1h}\nstore: {quota: 1GiB}');
  const reloads = new Reloads();
  const seen: number[] = [];
  reloads.add({ keys: ['proxy.staleTags'], take: async (next) => void seen.push(next.proxy.staleTagsMs) });
  reloads.add({
    keys: ['store.quota'],
    take: async () => Promise.reject(new SecretUnusable({ path: '/s', why: 'odd' })),
  });
  const taken = await reload(config, sources, log, { reload: (next) => reloads.run(next) });
  t.same(seen, [3_600_000]);
  t.equal(taken.proxy.staleTagsMs, 3_600_000);
  t.equal(taken.store.quotaBytes, config.store.quotaBytes);
  t.match(entries, [
    { level: 'error', code: 'SECRET_UNUSABLE', msg: /it stays as it was/ },
    { code: 'CONFIG_RELOADED', keys: ['proxy.staleTags'] },
    { code: 'CONFIG_NEEDS_RESTART', keys: ['store.quota'] },
  ]);
});

t.test('SIGHUP says nothing of settings that concern other processes', async (t) => {
  const directory = t.testdir({ 'h.yaml': '' });
  const sources = { ...NOTHING, file: 'h.yaml', directory };
  const entries: Entry[] = [];
  const destination = { write: (line: string) => void entries.push(JSON.parse(line) as Entry) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const { config } = await loadConfig(sources);
  writeFileSync(join(directory, 'h.yaml'), 'store: {quota: 1GiB}\nsupernode: {heartbeat: 1s}');
  await reloadConfig(config, undefined, sources, log, sections('supernode', 'cluster', 'log'));
  t.equal(entries.at(-1)?.code, 'CONFIG_NEEDS_RESTART');
  t.same(entries.at(-1)?.keys, ['supernode.heartbeat']);
});

t.test('SIGHUP of a terminal that was closed ends Hawker, another does not', async (t) => {
  const port = new FakeProcess();
  port.isTerminal = true;
  const output = new Output(t);
  let stopped = false;
  const running = runUp({ ...NOTHING, flags: { 'log-format': 'json' } }, port, async () =>
    serviceOf(async () => void (stopped = true)),
  );
  await output.until(/LISTENING/);
  t.equal(port.printed, '', 'JSON was asked for: no banner');
  port.send('SIGHUP');
  await output.until(/CONFIG_RELOADED/);
  t.notOk(stopped);
  port.gone = true;
  port.send('SIGHUP');
  t.equal(await running, 0);
  t.ok(stopped);
  t.match(output.entries().at(-2), { code: 'STOPPING', signal: 'SIGHUP' });
});
