/** A process that ends by an exception which nobody caught says so, and no secret with it (I4). */
import { join } from 'node:path';
import t from 'tap';
import { Program } from './support/process.ts';
import { basic, REPOSITORY, Scene } from './support/scene.ts';

t.setTimeout(600_000);

t.test('what nobody caught tells no secret', async (t) => {
  const scene = await Scene.start(t);
  const thrower = `data:text/javascript,process.once('SIGWINCH',()=>{throw new Error('boom')})`;
  const dir = join(scene.dir, 'heap');
  const env = { PATH: `${join(scene.dir, 'bin')}:${process.env['PATH']}` };
  const free = ['proxy', 'peer', 'api'].flatMap((part) => [`--${part}-listen`, '127.0.0.1:0']);
  const args = ['proxy', '--config', scene.nodes[0]!.config, '--store-dir', join(scene.dir, 'store'), ...free];
  const program = new Program(t, args, { dir, env, node: ['--import', thrower] });
  const mirror = await program.address('mirror');
  scene.registries.client.faults.stall = { bytes: 1000, times: 1 };
  const path = `/v2/${REPOSITORY}/blobs/${scene.images.client.layers[1]!.digest}?ns=client.test`;
  const headers = { authorization: basic('alice', scene.passwords.alice) };
  const asked = scene.ask(mirror, path, headers).catch(() => undefined);
  await scene.registries.client.until(() => scene.registries.client.of('blob', 'GET').length > 0);
  program.child.kill('SIGWINCH');
  t.equal(await program.ended(), 1);
  await asked;
  t.match(program.output, /"code":"UNCAUGHT"/);
  t.same(scene.markers.findIn(program.output), []);
});
