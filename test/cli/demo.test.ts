import { readdirSync } from 'node:fs';
import t from 'tap';
import { runCli } from '../../src/cli/cli.ts';
import type { ProcessPort, Signal } from '../../src/cli/process-port.ts';

const SMALL = ['demo', '--nodes', '2', '--size', '1MiB'];

class Run implements ProcessPort {
  readonly argv: readonly string[];
  readonly environment: Record<string, string> = {};
  readonly account = { root: false, home: '/home/me' };
  readonly directory = '/';
  readonly isTerminal: boolean;
  out = '';
  err = '';
  readonly exits: number[] = [];
  readonly #listeners = new Map<Signal, () => void>();
  crash: (error: unknown) => void = () => {};
  onPrint = () => {};

  constructor(argv: readonly string[], isTerminal = false) {
    this.argv = argv;
    this.isTerminal = isTerminal;
  }

  async write(): Promise<void> {}
  print(text: string): void {
    this.out += text;
    this.onPrint();
  }
  complain(text: string): void {
    this.err += text;
  }
  readSecret = async () => ({ text: '', isTyped: false });
  onSignal(signal: Signal, listener: () => void): void {
    this.#listeners.set(signal, listener);
  }
  onCrash(listener: (error: unknown) => void): void {
    this.crash = listener;
  }
  terminalGone(): boolean {
    return false;
  }
  exit(status: number): void {
    this.exits.push(status);
  }
  send(signal: Signal): void {
    this.#listeners.get(signal)!();
  }
}

// Other files' demonstrations are not to be seen here.
const TMP = t.testdir({});
process.env['TMPDIR'] = TMP;

function leftBehind(): string[] {
  return readdirSync(TMP);
}

t.test('what it prints', async (t) => {
  const run = new Run(SMALL);
  t.equal(await runCli(run), 0);
  t.equal(run.err, '');
  t.notMatch(run.out, '\u001B', 'no bars where nobody sees them');
  const size = '\\d[\\d.]* \\S*B';
  for (const line of [
    'On 127\\.0\\.0\\.1: an image of 1 MiB in 4 layers, at an origin that gives 16 MiB/s;',
    'NODE +SECONDS +FROM THE ORIGIN +FROM PEERS',
    `1 +\\d+\\.\\d\\d +${size} +${size}`,
    `2 +\\d+\\.\\d\\d +${size} +${size}`,
    `The origin sent ${size}, [12]\\.\\d{3} times the image \\(without Hawker: 2 times, 0 s\\)\\.`,
    'Warm: pulled again in \\d+\\.\\d\\d s, 0 B from the origin\\.',
    'Origin and supernode stopped: pulled once more in \\d+\\.\\d\\d s, from the stores\\.',
  ]) {
    t.match(run.out, new RegExp(`^${line}$`, 'm'));
  }
  t.ok(run.out.split('\n').length < 20);
  for (const line of run.out.split('\n')) t.ok(line.length <= 80, line);
  t.same(leftBehind(), []);
});

t.test('as JSON', async (t) => {
  const run = new Run([...SMALL, '--json'], true);
  t.equal(await runCli(run), 0);
  const node = { node: Number, seconds: Number, bytes: Number, originBytes: Number, peerBytes: Number };
  const pull = { seconds: Number, originBytes: Number, originRatio: Number, nodes: [node, node] };
  t.match(JSON.parse(run.out), {
    image: { bytes: Number, layers: 4 },
    originBytesPerSecond: Number,
    pulls: [
      { name: 'cold', ...pull },
      { name: 'warm', ...pull, originRatio: 0 },
      { name: 'stopped', ...pull, originRatio: 0 },
    ],
    kept: null,
  });
});

t.test('kept until a signal: the addresses are those where it is', async (t) => {
  const run = new Run([...SMALL, '--keep']);
  const kept = new Promise<void>((resolve) => {
    run.onPrint = () => run.out.includes('hawker status') && resolve();
  });
  const status = runCli(run);
  await kept;
  const url = (pattern: RegExp) => pattern.exec(run.out)![1]!;
  const manifest = await fetch(url(/curl -i (\S+)/));
  t.same([manifest.status, manifest.headers.get('x-hawker-source')], [200, 'origin']);
  const look = async (...argv: string[]) => {
    const other = new Run(argv);
    t.equal(await runCli(other), 0, other.err);
    return other.out;
  };
  const supernode = url(/The supernode is (\S+)\.\n/);
  t.match(await look('peers', '--supernodes', url(/hawker peers --supernodes (\S+)/)), /2 ready/);
  t.match(await look('blobs', '--supernodes', supernode), /\d blobs at/);
  const [, api] = /hawker status --api-listen (\S+)/.exec(run.out)!;
  t.match(await look('status', '--api-listen', api!, '--supernodes', supernode), /peers {6}2 ready/);
  run.send('SIGINT');
  t.equal(await status, 0, 'that is how it ends');
  t.equal(run.err, '');
  t.same(leftBehind(), []);
  await t.rejects(fetch(supernode));
});

t.test('kept, as JSON', async (t) => {
  const run = new Run([...SMALL, '--keep', '--json']);
  const kept = new Promise<void>((resolve) => {
    run.onPrint = resolve;
  });
  const status = runCli(run);
  await kept;
  const node = { mirror: /^http:/, pieces: /^127/, api: /^http:/ };
  t.match(JSON.parse(run.out), {
    pulls: [{ name: 'cold' }, { name: 'warm' }],
    kept: { supernode: /^http:/, nodes: [node, node] },
  });
  run.send('SIGTERM');
  t.equal(await status, 0);
});

t.test('bars on a terminal, and a signal in the middle', async (t) => {
  const run = new Run(['demo', '--nodes', '2', '--size', '96MiB'], true);
  run.onPrint = () => {
    if (!/node 1 .* [1-9]\d?%/.test(run.out)) return;
    run.onPrint = () => {};
    run.send('SIGINT');
  };
  t.equal(await runCli(run), 1);
  t.match(run.err, /^hawker: INTERRUPTED: stopped by SIGINT before it was done; .*\n$/);
  t.match(run.out, /node 1 .*node 2 /s);
  t.ok(run.out.endsWith('\u001B[2A\r\u001B[J'), 'the bars are taken away');
  t.same(leftBehind(), []);
});

t.test('a second signal, or a crash, removes what is on disk and ends the process at once', async (t) => {
  let later = 0;
  const now = performance.now.bind(performance);
  t.intercept(performance, 'now', { value: () => now() + later });
  const twice = (run: Run) => {
    run.send('SIGINT');
    run.send('SIGINT');
    t.same(run.exits, [], 'the same one, by two ways');
    later = 1000;
    run.send('SIGINT');
  };
  const crash = (run: Run) => run.crash(new Error('odd'));
  for (const end of [twice, crash]) {
    const run = new Run([...SMALL, '--keep']);
    const kept = new Promise<void>((resolve) => {
      run.onPrint = () => run.out.includes('hawker status') && resolve();
    });
    const status = runCli(run);
    await kept;
    end(run);
    t.same([run.exits, leftBehind()], [[1], []]);
    run.send('SIGINT');
    await status;
  }
});

t.test('it runs in a process with threads enough for all its nodes', async (t) => {
  const asked: unknown[] = [];
  class Parent extends Run {
    rerun = async (environment: unknown) => {
      asked.push(environment);
      return 7;
    };
  }
  t.equal(await runCli(new Parent(SMALL)), 7);
  t.same(asked, [{ UV_THREADPOOL_SIZE: '12' }]);
  const child = new Parent([...SMALL, '--json']);
  child.environment['UV_THREADPOOL_SIZE'] = '12';
  t.equal(await runCli(child), 0);
  t.equal(asked.length, 1);
});

t.test('wrong flags', async (t) => {
  for (const [flag, value] of [
    ['--nodes', '1'],
    ['--nodes', '17'],
    ['--nodes', 'four'],
    ['--size', '64'],
    ['--size', '10KiB'],
    ['--size', '2GiB'],
    ['--log-level', 'loud'],
  ] as const) {
    const run = new Run(['demo', flag, value]);
    t.equal(await runCli(run), 2, `${flag} ${value}`);
    t.match(run.err, /^hawker: USAGE: .*Allowed.*\n$/);
  }
});
