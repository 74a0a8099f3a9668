import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { isPasswordOf, parsePasswordHash } from '../../src/base/password-hash.ts';
import { readSecret } from '../../src/cli/read-secret.ts';
import { runCommand } from '../support/cli.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

t.test('a line for the users file, from what is piped in', async (t) => {
  const child = spawn(process.execPath, [MAIN, 'password', 'alice'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const output = { out: '', err: '' };
  child.stdout.on('data', (text: Buffer) => (output.out += text.toString()));
  child.stderr.on('data', (text: Buffer) => (output.err += text.toString()));
  child.stdin.end('correct horse\r\nand no more\n');
  const [code] = (await once(child, 'close')) as [number];
  t.same([code, output.err], [0, '']);
  const [, name, hash] = /^(\w+):(\S+)\n$/.exec(output.out) ?? [];
  t.equal(name, 'alice');
  t.equal(await isPasswordOf(parsePasswordHash(hash!)!, 'correct horse'), true);
});

t.test('what is not taken, and why', async (t) => {
  const typed =
    (...lines: string[]) =>
    async () => ({ text: lines.shift()!, isTyped: true });
  const piped = (text: string) => async () => ({ text, isTyped: false });
  const cases: [string[], () => Promise<{ text: string; isTyped: boolean }>, RegExp][] = [
    [['alice'], piped(''), /PASSWORD_NOT_TAKEN: .*empty/],
    [['alice'], piped('x'.repeat(1025)), /more than 1024 bytes/],
    [['alice'], typed('one', 'two'), /not the same/],
    [['loopback'], piped('x'), /no name for a user.*letters/],
    [['a:b'], piped('x'), /no name for a user/],
  ];
  for (const [args, readSecret, line] of cases) {
    const { status, out, err } = await runCommand(['password', ...args], { readSecret });
    t.equal(status, 1);
    t.equal(out, '');
    t.match(err, line);
  }
  t.equal((await runCommand(['password'])).status, 2, 'a name is wanted');
  t.equal((await runCommand(['password', 'alice', 'a-password'])).status, 2, 'and no password: others see arguments');
  const twice = await runCommand(['password', 'alice'], { readSecret: typed('same', 'same') });
  t.match(twice.out, /^alice:\$scrypt\$/);
});

/** A terminal, as far as reading goes. */
function terminal() {
  const raw: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true as const,
    setRawMode: (on: boolean) => void raw.push(on),
  });
  const shown: string[] = [];
  return { raw, shown, input, secret: readSecret(input as never, 'Password: ', (text) => void shown.push(text)) };
}

t.test('from a terminal nothing that is typed is shown', async (t) => {
  const { input, raw, shown, secret } = terminal();
  input.write('sec');
  input.write('rex\u007ft\u00e9');
  input.write(Buffer.from([0xc3]));
  input.write(Buffer.from([0xa9]));
  input.write('\r');
  t.same(await secret, { text: 'secretéé', isTyped: true });
  t.same(shown, ['Password: ', '\n']);
  t.same(raw, [true, false], 'the terminal is left as it was');
});

t.test('Ctrl-C, Ctrl-D and the end of input', async (t) => {
  const stopped = terminal();
  stopped.input.write('x\u0003');
  await t.rejects(stopped.secret, { code: 'INTERRUPTED' });
  t.same(stopped.raw, [true, false]);
  const ended = terminal();
  ended.input.write('x\u0004');
  t.match(await ended.secret, { text: 'x' });
  const gone = terminal();
  gone.input.end('y');
  t.match(await gone.secret, { text: 'y' });
});
