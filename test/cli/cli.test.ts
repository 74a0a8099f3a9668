import t from 'tap';
import { CodedError, codedError } from '../../src/base/errors.ts';
import { failureLine, statusOf } from '../../src/cli/exit.ts';
import { usualConfigFile } from '../../src/config/defaults.ts';
import { ConfigInvalid } from '../../src/config/errors.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { runCommand } from '../support/cli.ts';

const run = (...argv: string[]) => runCommand(argv);

t.test('help lists what works', async (t) => {
  const { status, out, err } = await run('--help');
  t.equal(status, 0);
  t.equal(err, '');
  const commands = [...out.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
  t.ok(
    [
      'up',
      'proxy',
      'supernode',
      'peers',
      'blobs',
      'preheat',
      'rm',
      'gc',
      'pin',
      'unpin',
      'status',
      'token',
      'demo',
      'setup',
      'completion',
      'version',
      'help',
    ].every((name) => commands.includes(name)),
    String(commands),
  );
  t.equal((await run('help', 'up')).out, (await run('up', '--help')).out);
});

t.test('each setting with a flag is in the help of up, with its default', async (t) => {
  const { status, out } = await run('up', '--help');
  t.equal(status, 0);
  const text = out.replaceAll(/\s+/g, ' ');
  for (const { flag, description, default: value } of SETTINGS.filter((s) => s.flag)) {
    t.match(text, ` --${flag} <`);
    t.match(text, description);
    if (typeof value === 'string' && value !== '') t.match(text, `(default: ${value})`);
  }
  t.match(text, ' --config <file>');
  t.notMatch(text, /<value>/, 'each value has a name');
});

t.test('each command has the flags of what concerns it, and no others', async (t) => {
  const flagsOf = async (command: string) =>
    new Set([...(await run(command, '--help')).out.matchAll(/^ {2}--([a-z-]+) </gm)].map(([, name]) => name!));
  const of = (concerns: (key: string) => boolean) =>
    new Set(['config', ...SETTINGS.filter((s) => s.flag && concerns(s.key)).map((s) => s.flag!)]);
  t.same(
    await flagsOf('proxy'),
    of((key) => !key.startsWith('supernode.')),
  );
  t.same(
    await flagsOf('supernode'),
    of((key) => /^(supernode|cluster|audit|log)\./.test(key)),
  );
  const ofTls = ['cluster-tls-cert', 'cluster-tls-key', 'cluster-tls-ca'];
  const ofSupernode = ['config', 'supernodes', 'cluster-secret-file', 'cluster-operator-token-file', ...ofTls];
  t.same(await flagsOf('peers'), new Set(ofSupernode));
  t.same(await flagsOf('blobs'), new Set([...ofSupernode, 'api-listen']));
  t.same(await flagsOf('status'), new Set([...ofSupernode, 'api-listen']));
  t.same(await flagsOf('token'), new Set(['config', 'secret-file', 'new-secret-file']));
  const { status, err } = await run('supernode', '--store-quota', '1GiB');
  t.equal(status, 2);
  t.match(err, /^hawker: USAGE: unknown option '--store-quota'/);
});

t.test("a list's flag takes commas, or is repeated", async (t) => {
  for (const args of [
    ['--supernodes', 'http://a:1,nope'],
    ['--supernodes', 'http://a:1', '--supernodes', 'nope'],
  ]) {
    t.match((await run('proxy', ...args)).err, /^hawker: CONFIG_INVALID: supernodes\[1\] .*\(--supernodes\)/);
  }
});

t.test('without --config the usual file of the account is read, where it is there', async (t) => {
  const home = t.testdir({ '.config': { hawker: { 'hawker.yaml': 'supernodes: [nope]\n' } }, xdg: { hawker: {} } });
  const account = { root: false, home };
  const peers = (argv: string[], environment = {}) => runCommand(['peers', ...argv], { account, environment });
  t.match((await peers([])).err, /^hawker: CONFIG_INVALID: supernodes\[0\] .*\.config\/hawker\/hawker\.yaml/);
  const near = ['--supernodes', 'http://127.0.0.1:1'];
  t.match((await peers(['--config', `${home}/nope.yaml`])).err, /^hawker: CONFIG_UNREADABLE: .*nope\.yaml/);
  t.notMatch((await peers(near, { XDG_CONFIG_HOME: `${home}/xdg` })).err, 'CONFIG', 'where it is not there, none is');
  t.equal(usualConfigFile({ root: true, home: '/root' }, '/root/xdg'), '/etc/hawker/hawker.yaml');
  t.equal(usualConfigFile({ root: false, home: '/h' }, 'not/absolute'), '/h/.config/hawker/hawker.yaml');
});

t.test('version', async (t) => {
  const json = JSON.parse((await run('version', '--json')).out) as Record<string, string>;
  t.match(json, { version: /^\d+\.\d+\.\d+/, protocol: /^\d+\.\d+$/, node: process.version });
  t.equal(
    (await run('version')).out,
    `hawker ${json['version']} (protocol ${json['protocol']}, Node ${process.version})\n`,
  );
  t.equal((await run('--version')).out, `${json['version']}\n`);
});

t.test('wrong usage is one line with a suggestion, and status 2', async (t) => {
  const cases: [argv: string[], line: RegExp][] = [
    [['upp'], /^hawker: USAGE: unknown command 'upp' \(Did you mean up\?\)\. See hawker --help\n$/],
    [
      ['up', '--store-qouta', '1'],
      /^hawker: USAGE: unknown option '--store-qouta' \(Did you mean --store-quota\?\)\. .*\n$/,
    ],
    [['up', '--store-quota'], /^hawker: USAGE: option '--store-quota <size>' argument missing\. .*\n$/],
    [['up', 'extra'], /^hawker: USAGE: too many arguments for 'up'.*[^.]\. See .*\n$/],
    [['--nope'], /^hawker: USAGE: unknown option '--nope'\. .*\n$/],
    [
      ['up', '--store-quota', '5'],
      /^hawker: CONFIG_INVALID: store\.quota is "5", .* \(--store-quota\)\. Allowed: .*\n$/,
    ],
    [['up', '--config', '/nope.yaml'], /^hawker: CONFIG_UNREADABLE: .*\n$/],
  ];
  for (const [argv, line] of cases) {
    const { status, out, err } = await run(...argv);
    t.equal(status, 2, argv.join(' '));
    t.equal(out, '');
    t.match(err, line);
  }
  const bare = await run();
  t.equal(bare.status, 2);
  t.match(bare.err, /^Usage: hawker/);
});

t.test('a failure is one line: code, message with its causes, what to do', (t) => {
  const Broken = codedError('BROKEN', { message: (p: { it: string }) => `${p.it} is\nbroken.`, todo: 'mend\nit' });
  const error = new Broken({ it: 'x' }, { cause: new Error('worn out') });
  t.ok(error instanceof CodedError);
  t.equal(failureLine(error), 'hawker: BROKEN: x is broken.: worn out. Mend it\n');
  t.equal(statusOf(error), 1);
  t.equal(failureLine(new Error('odd')), 'hawker: UNKNOWN: odd. Run again with --log-level debug to see more\n');
  const listen = Object.assign(new Error('listen EADDRINUSE'), {
    code: 'EADDRINUSE',
    syscall: 'listen',
    address: '::1',
    port: 5,
  });
  t.match(failureLine(listen), /^hawker: ADDRESS_IN_USE: another process listens on \[::1\]:5\. Stop that process/);
  t.match(failureLine({ code: 'ENOSPC' }), /^hawker: ENOSPC: ENOSPC\. /);
  t.match(failureLine(undefined), /^hawker: UNKNOWN: undefined\. /);
  t.equal(statusOf(new ConfigInvalid({ key: 'a', place: 'b', why: 'c', allowed: 'd' })), 2);
  t.end();
});
