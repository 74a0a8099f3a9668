/**
 * No secret comes up anywhere (I4): every way in which a secret comes into a process, and out to where it is for, in processes
 * of the built program, where it works and where it fails; then everything that anybody can see is searched for it, in every form.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ABSENT_DIGEST } from '../support/hostile-registry.ts';
import { IN_CONFIGURATION, IN_USE, whatWorks } from './support/flows.ts';
import { filesBelow } from './support/process.ts';
import { basic, REPOSITORY, Scene, UPSTREAMS, type UpstreamName } from './support/scene.ts';

t.setTimeout(600_000);

/** A registry, its token service or its CDN says what it was sent, with each of these statuses. */
const ECHOED = [401, 429, 500];

/** Nothing that is asked then is known from before. */
async function echoes(scene: Scene, upstream: UpstreamName): Promise<void> {
  const { passwords } = scene;
  const registry = scene.registries[upstream];
  const own = {
    password: passwords.password,
    docker: passwords.docker,
    helper: passwords.helper,
    client: passwords.alice,
  };
  const secrets = [(own as Record<string, string>)[upstream] ?? '', ...registry.auth.refreshTokens.keys()];
  const headers: Record<string, string> =
    upstream === 'client' ? { authorization: basic('alice', passwords.alice) } : {};
  for (const [round, code] of ECHOED.entries()) {
    for (const on of [['token'], ['manifest'], ['blob'], ['cdn']] as const) {
      scene.overhear();
      const last = registry.requests.at(-1);
      // Each knows what it is sent: the token service a password, the registry what that gave, the CDN a signature.
      const sent = on[0] === 'token' || registry.auth.mode === 'basic' ? secrets : [last?.headers.authorization ?? ''];
      const echo = [...(on[0] === 'cdn' ? [] : sent), last?.path ?? ''].join(' ');
      registry.auth.revokeTokens();
      scene.renew(upstream, (seed += 1));
      registry.faults.on = on;
      const isText = (round + UPSTREAMS.indexOf(upstream)) % 2 === 0;
      const json = JSON.stringify({ errors: [{ code: 'DENIED', message: echo }], details: echo });
      registry.faults.headers = { 'content-type': isText ? 'text/plain' : 'application/json' };
      registry.faults.status = { code, times: 20, body: isText ? echo : json };
      await scene.pull(upstream, { headers, blobs: 1 });
      registry.faults.headers = {};
      registry.faults.status = undefined;
    }
  }
}

/** Of the next image: each is another one. */
let seed = 100;

/** Addresses that a registry sends to with a secret in them, none of which gives a blob. */
async function redirects(scene: Scene): Promise<void> {
  const { markers } = scene;
  const { password } = scene.registries;
  for (const to of [
    'http://127.0.0.2:1',
    'https://127.0.0.2:1',
    'ftp://127.0.0.1',
    'http://10.255.255.1',
    'nonsense',
  ]) {
    const signature = markers.make('signature of a failed redirect');
    const userinfo = markers.make('password in a redirect');
    password.redirectBlobs = { status: 302 };
    password.redirectTo = (digest) =>
      `${to.replace('//', `//user:${userinfo}@`)}/${digest}?X-Amz-Signature=${signature}#${signature}`;
    scene.renew('password', (seed += 1));
    await scene.pull('password', { blobs: 1 });
  }
  password.redirectBlobs = undefined;
}

/** A token service that is somewhere else. */
async function realm(scene: Scene): Promise<void> {
  const { docker } = scene.registries;
  docker.auth.realm = `http://user:${scene.markers.make('password in a realm')}@127.0.0.1:1/token`;
  scene.renew('docker', (seed += 1));
  await scene.pull('docker', { blobs: 1 });
  docker.auth.realm = undefined;
}

/** What may go wrong at a registry, and on the way to it: at all of them at once, for most of it is to try again after a while. */
async function whatFails(scene: Scene): Promise<void> {
  const more: Partial<Record<UpstreamName, (scene: Scene) => Promise<void>>> = { password: redirects, docker: realm };
  await Promise.all(
    UPSTREAMS.map(async (upstream) => {
      await echoes(scene, upstream);
      await more[upstream]?.(scene);
    }),
  );
  // The last, for the memory of what went before: a password that was changed.
  scene.secretFile('password', `${scene.markers.make('wrong password of passwordFile')}\n`);
  scene.renew('password', (seed += 1));
  await scene.pull('password', { blobs: 1 });
}

/** What clients may send that is wrong. */
async function whatIsMalformed(scene: Scene): Promise<void> {
  const { markers } = scene;
  const secret = () => markers.make("malformed client's secret");
  const path = `/v2/${REPOSITORY}/blobs/${scene.images.client.layers[0]!.digest}?ns=client.test`;
  const values = [
    basic('alice', secret()),
    basic('', secret()),
    `Basic ${secret()}`,
    `Basic`,
    `Bearer ${secret()}`,
    `Bearer ${secret()} ${secret()}`,
    `Hawker 1.x.${secret()}`,
    `Digest username="alice", response="${secret()}"`,
    secret(),
  ];
  const { mirror, api } = scene.nodes[0]!;
  const supernode = scene.supernodeUrl.slice('http://'.length);
  for (const authorization of values) {
    for (const address of [mirror, api, supernode, scene.taps.pieces.address]) {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE'])
        await scene.ask(address, path, { authorization, cookie: secret(), 'x-registry-auth': secret() }, method);
    }
  }
  const lines = [
    `GET http://user:${secret()}@ghcr.io${path} HTTP/1.1\r\nHost: ghcr.io\r\nConnection: close\r\n\r\n`,
    `GET /v2/user:${secret()}@ghcr.io/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    `GET /v2/app/manifests/v1?ns=user:${secret()}@ghcr.io HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    `GET ${path}&token=${secret()} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret()}\r\nAuthorization: Bearer ${secret()}\r\nConnection: close\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret()}\u0001\r\nConnection: close\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret().repeat(4000)}\r\nConnection: close\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer ${secret()}\r\nConnection: close\r\n\r\n`,
    `${secret()}\r\nConnection: close\r\n\r\n`,
    `CONNECT user:${secret()}@ghcr.io:443 HTTP/1.1\r\nProxy-Authorization: ${basic('a', secret())}\r\nConnection: close\r\n\r\n`,
  ];
  for (const bytes of lines) for (const address of [mirror, api, supernode]) await scene.say(address, bytes);
  await scene.ask(mirror, `/v2/${REPOSITORY}/tags/list?ns=client.test&last=${secret()}`, {
    authorization: `Bearer ${secret()}`,
  });
  await scene.ask(mirror, `/v2/${REPOSITORY}/referrers/${ABSENT_DIGEST}?ns=client.test`, {
    authorization: `Bearer ${secret()}`,
  });
}

async function search(t: Test, scene: Scene): Promise<void> {
  scene.overhear();
  const { markers } = scene;
  for (const name of [
    'join secret',
    'session proof',
    'piece token',
    'token of a token service',
    'signature of a URL',
    'identity token',
  ])
    t.ok(markers.names.includes(name), `there was one: ${name}`);
  for (const [where, text] of await scene.texts()) t.same(markers.findIn(text), [], where);
  t.same(markers.findIn(readFileSync(join(scene.dir, 'helper-saw'))), [], 'what a credential helper sees');
}

t.test('no secret comes up in output, logs, metrics, answers, errors, the store or the process table', async (t) => {
  const scene = await Scene.start(t);
  await whatWorks(t, scene);
  await whatFails(scene);
  await whatIsMalformed(scene);
  const commands = [
    ...['peers', 'blobs'].map((name) => [name, '--supernodes', scene.supernodeUrl]),
    ['status', '--config', scene.nodes[0]!.config],
    ['status', '--json', '--config', scene.nodes[0]!.config],
    [
      'doctor',
      '--config',
      scene.nodes[0]!.config,
      '--api-listen',
      scene.nodes[0]!.api,
      '--proxy-listen',
      scene.nodes[0]!.mirror,
    ],
    ['doctor', '--json', '--config', scene.nodes[0]!.config],
    ['token', '--config', scene.nodes[0]!.config],
    ['token', '--operator', '--json', '--config', scene.nodes[0]!.config],
  ];
  await Promise.all(
    commands.map(async (args) => {
      const { output } = await scene.command(args, { PATH: `${join(scene.dir, 'bin')}:${process.env['PATH']}` });
      t.same(scene.markers.findIn(output), [], `hawker ${args.slice(0, 2).join(' ')}`);
    }),
  );
  await search(t, scene);

  t.test('and after their life none is in the memory of a process', async (t) => {
    const lasting = scene.markers.without(...IN_CONFIGURATION, ...IN_USE);
    await scene.quiet();
    const programs = [
      ['supernode', scene.supernode] as const,
      ...scene.nodes.map((n, i) => [`node ${i}`, n.program] as const),
    ];
    await Promise.all(programs.map(async ([name, program]) => t.same(lasting.findIn(await program.heap()), [], name)));
  });

  t.test('and at its end, wanted or not, none is told or left', async (t) => {
    const [one, two] = scene.nodes as [Scene['nodes'][0], Scene['nodes'][0]];
    for (const program of [one.program, scene.supernode]) program.child.kill('SIGTERM');
    two.program.child.kill('SIGABRT');
    for (const program of [one.program, scene.supernode, two.program]) {
      await program.ended();
      t.same(scene.markers.findIn(program.output), []);
    }
    for (const { store } of scene.nodes)
      for (const { path, bytes } of filesBelow(store)) t.same(scene.markers.findIn(bytes), [], path);
  });
});
