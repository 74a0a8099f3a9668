import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { codedError } from '../../src/base/errors.ts';
import { createLogger, LOG_LEVELS, setLogLevel, silentLogger, type LogLevel } from '../../src/base/log.ts';

interface Entry {
  level: string;
  time: string;
  msg?: string;
  code?: string;
  err?: { type: string; code: string; message: string; stack: string };
}

function capture(level: LogLevel = 'info') {
  const lines: string[] = [];
  const log = createLogger({ level, format: 'json', destination: { write: (line) => void lines.push(line) } });
  const entries = () => lines.map((line) => JSON.parse(line) as Entry);
  return { log, lines, entries };
}

t.test('one JSON object a line: level by name, ISO time, no pid', (t) => {
  const { log, lines, entries } = capture();
  log.warn({ code: 'ODD', n: 1 }, 'this\nand %s', 'that');
  t.same(lines.length, 1);
  t.match(lines[0], /^\{[^\n]*\}\n$/);
  const [entry] = entries();
  t.match(entry, { level: 'warn', code: 'ODD', n: 1, msg: 'this\nand that', time: /^\d{4}-\d\d-\d\dT.*Z$/ });
  t.same(Object.keys(entry!).sort(), ['code', 'level', 'msg', 'n', 'time']);
  t.end();
});

t.test('a level lets itself and what is graver through', (t) => {
  const methods = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
  for (const level of LOG_LEVELS) {
    const { log, entries } = capture(level);
    for (const method of methods) log[method](method);
    const least = level === 'silent' ? methods.length : methods.indexOf(level);
    t.same(
      entries().map(({ msg }) => msg),
      methods.slice(least),
      level,
    );
  }
  silentLogger.fatal('nothing');
  t.end();
});

t.test('a change of level reaches the children that were made before', (t) => {
  const { log, entries } = capture();
  const child = log.child({ part: 'store' }).child({ blob: 1 });
  child.debug('unseen');
  setLogLevel(log, 'debug');
  child.debug('seen');
  setLogLevel(log, 'error');
  child.warn('unseen');
  setLogLevel(silentLogger, 'info');
  t.match(entries(), [{ msg: 'seen', part: 'store', blob: 1 }]);
  t.equal(entries().length, 1);
  t.end();
});

t.test('no secret is written, however a part hands it over', (t) => {
  const secret = 'hunter2';
  const { log, lines } = capture();
  const keys = [
    'authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'password',
    'secret',
    'token',
    'access_token',
  ]
    .concat(['refresh_token', 'identitytoken', 'registrytoken', 'auth'])
    .concat(['Authorization', 'Proxy-Authorization', 'Cookie', 'Set-Cookie', 'X-Registry-Auth']);
  for (const key of keys) {
    log.info({ [key]: secret }, key);
    log.info({ headers: { [key]: secret } }, key);
    log.info({ request: { headers: { [key]: secret, kept: 'this stays' } } }, key);
    log.child({ headers: { [key]: secret } }).info(key);
    const error = Object.assign(new Error('failed'), { options: { headers: { [key]: secret } }, [key]: secret });
    log.error({ err: error }, key);
    log.error(error);
    log.error({ err: new Error('outer', { cause: error }) }, key);
  }
  t.equal(lines.length, keys.length * 7);
  for (const line of lines) t.notMatch(line, secret);
  t.equal(lines.filter((line) => line.includes('this stays')).length, keys.length, 'and nothing else is lost');
  t.end();
});

t.test('an error is written with its code, its causes and its stack', (t) => {
  const Broken = codedError('BROKEN', { message: (p: { it: string }) => `${p.it} is broken`, todo: 'mend it' });
  const { log, entries } = capture();
  log.error({ err: new Broken({ it: 'x' }, { cause: new Error('worn out') }) }, 'no');
  log.error({ err: 'only text' }, 'no');
  const [first, second] = entries();
  t.match(first?.err, { type: 'BROKEN', code: 'BROKEN', message: 'x is broken: worn out', stack: /log\.test/ });
  t.same(Object.keys(first!.err!).sort(), ['code', 'message', 'stack', 'type']);
  t.equal(second?.err, 'only text');
  t.end();
});

function runScript(body: string, stdout: 'pipe' | number) {
  const log = fileURLToPath(new URL('../../src/base/log.js', import.meta.url));
  const script = `import { createLogger } from ${JSON.stringify(log)};\n${body}`;
  const stdio = ['ignore', stdout, 'pipe'] as const;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { stdio: [...stdio], encoding: 'utf8' });
}

t.test('pretty is for people, JSON for programs; both go to standard output', (t) => {
  const write = (format: string) =>
    runScript(`createLogger({ level: 'info', format: '${format}' }).warn({ code: 'ODD' }, 'look');`, 'pipe');
  t.match(write('pretty').stdout, /^\[\d\d:\d\d:\d\d\] WARN: look \{"code":"ODD"\}\n$/);
  t.match(JSON.parse(write('json').stdout), { level: 'warn', code: 'ODD', msg: 'look' });
  t.end();
});

t.test('a disk that is full under the log stops nobody', (t) => {
  const full = openSync('/dev/full', 'w');
  for (const format of ['json', 'pretty']) {
    const body = `
      const log = createLogger({ level: 'info', format: '${format}' });
      for (let i = 0; i < 2000; i += 1) log.info('x'.repeat(2000));
      await new Promise(setImmediate);
      process.stderr.write('still here');`;
    const { status, stderr } = runScript(body, full);
    t.same([status, stderr], [0, 'still here'], format);
  }
  closeSync(full);
  t.end();
});
