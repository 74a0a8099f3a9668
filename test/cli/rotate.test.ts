import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { readSecretFile } from '../../src/p2p/protocol/secret-file.ts';
import { runCommand } from '../support/cli.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { Client } from '../support/session-client.ts';
import { makeSupernode, SECRET, serve } from '../support/swarm-rig.ts';

const NEW = 'the secret that comes, which is long enough too';

/** A home with a secret in `s`, and a configuration that names it and these supernodes. */
function scene(t: Test, supernodes: readonly string[]) {
  const home = t.testdir({
    s: `${SECRET}\n`,
    new: `${NEW}\n`,
    'h.yaml': JSON.stringify({ supernodes, cluster: { secretFile: 's' } }),
  });
  for (const name of ['s', 'new']) chmodSync(join(home, name), 0o600);
  const file = join(home, 's');
  const rotate = (...argv: string[]) =>
    runCommand(['token', '--rotate', '--config', 'h.yaml', ...argv], {
      account: { root: false, home },
      directory: home,
    });
  return { home, file, rotate, read: () => readFileSync(file, 'utf8') };
}

t.test('three steps, each taken only once the supernode says that all are so far', async (t) => {
  const own = new Membership(SECRET);
  const supernode = makeSupernode(new ManualClock(), { membership: own });
  const { url } = await serve(t, supernode);
  const { home, file, rotate, read } = scene(t, [url]);
  const takeUp = async (): Promise<void> => {
    const { first, second } = await readSecretFile(file);
    own.change(second ? { first, second } : { first });
  };

  const one = await rotate();
  t.match(one, { status: 0, err: '', out: /^Step 1 of 3: .* accepts a new secret beside the present one/ });
  t.match(one.out, /kill -HUP/);
  const { first, second } = await readSecretFile(file);
  t.same([first, second?.role], [SECRET, 'next']);
  t.notMatch(one.out, second!.secret, 'not shown');
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.same(readdirSync(home).toSorted(), ['h.yaml', 'new', 's'], 'nothing is left beside it');

  const before = read();
  const early = await rotate();
  t.match(early, { status: 1, err: /^hawker: ROTATION_NOT_SAFE: .*has not taken up the file.*--force/ });
  await takeUp();
  const client = new Client(t, url);
  await client.open({ peer: 'peer-a-00' });
  t.match(await rotate(), { status: 1, err: /ROTATION_NOT_SAFE: .*1 of 1 peer is not so far \(node\)/ });
  t.equal(read(), before, 'as often as you like');
  client.say({ t: 'bye' });
  client.ws.close();
  const member = new Client(t, url);
  await member.hello({ peer: 'peer-b-00' }, new Membership(SECRET, second));
  await member.next('welcome');
  const json = await rotate('--json');
  t.same(JSON.parse(json.out), { secretFile: file, step: 'previous' });
  t.same(await readSecretFile(file), { first: second!.secret, second: { secret: SECRET, role: 'previous' } });
  await takeUp();
  t.match(await rotate(), { status: 1, err: /ROTATION_NOT_SAFE/ });
  t.match(await rotate('--force'), { status: 0, out: /^Step 3 of 3[^]*With that the rotation is over/ });
  t.equal(read(), `${second!.secret}\n`);
});

t.test('a secret that is given instead of made: each node by itself comes to the same files', async (t) => {
  const { rotate, read, home } = scene(t, []);
  t.match(await rotate('--new-secret-file', 'new'), { status: 0 });
  t.equal(read(), `${SECRET}\nnext: ${NEW}\n`);
  writeFileSync(join(home, 'other'), `${'x'.repeat(40)}\n`, { mode: 0o600 });
  t.match(await rotate('--new-secret-file', 'other'), { status: 1, err: /ROTATION_UNCLEAR: .*another secret/ });
  t.match(await rotate('--new-secret-file', 'new'), { status: 0 });
  t.equal(read(), `${NEW}\nprevious: ${SECRET}\n`);
  t.match(await rotate('--new-secret-file', 'new'), { status: 0 });
  t.equal(read(), `${NEW}\n`);
  t.match(await rotate('--new-secret-file', 'new'), { status: 1, err: /ROTATION_UNCLEAR: .*is there already/ });
  t.equal(read(), `${NEW}\n`);
});

t.test('what cannot be told is not guessed, and what is not there not made', async (t) => {
  const { rotate, read, file, home } = scene(t, ['http://127.0.0.1:1']);
  writeFileSync(file, `${SECRET}\n${NEW}\n`);
  t.match(await rotate(), { status: 1, err: /ROTATION_UNCLEAR: .*no label.*`next: `/ });
  t.equal(read(), `${SECRET}\n${NEW}\n`);
  t.match(await rotate('--secret-file', 'none'), { status: 1, err: /SECRET_NOT_THERE: .*none/ });
  writeFileSync(file, `${SECRET}\nnext: ${NEW}\n`);
  t.match(await rotate(), { status: 1, err: /ROTATION_NOT_SAFE: .*127\.0\.0\.1:1.*does not answer/ });
  // As a tool may keep it: the link stays.
  symlinkSync(file, join(home, 'link'));
  t.match(await rotate('--secret-file', 'link', '--force'), { status: 0 });
  t.ok(lstatSync(join(home, 'link')).isSymbolicLink());
  t.equal(read(), `${NEW}\nprevious: ${SECRET}\n`);
});

t.test("the operator's token goes by the same steps", async (t) => {
  const { rotate, read, file } = scene(t, []);
  t.match(await rotate('--operator', '--secret-file', 's'), {
    status: 0,
    out: /every supernode, and who commands them/,
  });
  t.match(read(), /^correct horse.*\nnext: /);
  t.match(JSON.parse((await rotate('--operator', '--secret-file', 's', '--json')).out), {
    operatorTokenFile: file,
    step: 'previous',
  });
});
