/**
 * Private images by the mirror's own credential (I4): a real registry with htpasswd, and real clients on another host that log in at the
 * mirror, by a password or a certificate. Who may by a rule pulls, cold and warm; who may not gets nothing, on any path.
 */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { CLIENT_CA, ALICE_TLS } from '../support/client-certificates.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { basicOf, type Client, runBy } from './support/clients/client.ts';
import { containerd } from './support/clients/containerd.ts';
import { docker } from './support/clients/docker.ts';
import { podman } from './support/clients/podman.ts';
import { skopeo } from './support/clients/skopeo.ts';
import { Hawker, MAIN, SECOND_UPSTREAM } from './support/hawker.ts';
import { HtpasswdOrigin, htpasswdLine } from './support/htpasswd-origin.ts';
import { type Published, publishImage, publishLarge } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { OtherHost } from './support/other-host.ts';
import { freePort } from './support/ports.ts';
import { must } from './support/programs.ts';
import type { User } from './support/private-origin.ts';
import { Relay } from './support/relay.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until } from './support/wait.ts';

const ROBOT = { name: 'robot', password: 'the-password-of-the-robot' };
const ALICE = { name: 'alice', password: 'the-password-of-alice' };
const BOB = { name: 'bob', password: 'the-password-of-bob' };
const WRONG = { name: 'alice', password: 'a-guess' };
const HOST_PROGRAMS = ['ip', 'nsenter', 'unshare', 'curl'];
const MiB = 1024 * 1024;
const BOUND_MS = 15_000;

/** The line that `hawker password` makes of what it is given on standard input. */
async function hawkerPassword(rig: Rig, { name, password }: User): Promise<string> {
  const command = `printf '%s\\n' "$PASSWORD" | "$0" "$@"`;
  const env = rig.environment({ PASSWORD: password });
  return await must('sh', ['-c', command, process.execPath, MAIN, 'password', name], { env });
}

async function passwordFile(rig: Rig): Promise<string> {
  const file = join(rig.dir, 'robots-password');
  await writeFile(file, `${ROBOT.password}\n`, { mode: 0o600 });
  return file;
}

/** podman takes no runroot of more than 50 characters. */
function podmanOf(who: string): string {
  return `podm-${who[0]}`;
}

/** Everything of an image that a client may ask for. */
function pathsOf({ repository, tag, digest, native }: Published): string[] {
  const names = [tag, digest, native.manifest.digest].map((name) => `manifests/${name}`);
  const blobs = [...native.blobs.keys()].map((name) => `blobs/${name}`);
  return [...names, ...blobs, 'tags/list', `referrers/${digest}`].map((path) => `/v2/${repository}/${path}`);
}

/** HEAD and GET of each path from the other host; the paths that were answered with 200. */
async function readable(
  other: OtherHost,
  base: string,
  paths: readonly string[],
  login: User | undefined,
): Promise<string[]> {
  const header = login ? ['--header', `Authorization: ${basicOf(login)}`] : [];
  const [first, rest] = runBy(other.by, 'curl', []);
  const found: string[] = [];
  for (const path of paths) {
    const url = `${base}${path}?ns=${SECOND_UPSTREAM}`;
    for (const method of [['--head'], []]) {
      const args = [...method, ...header, '--silent', '--output', '/dev/null', '--write-out', '%{http_code}', url];
      if ((await must(first, [...rest, ...args])) === '200') found.push(`${method.join('')} ${path}`.trim());
    }
  }
  return found;
}

e2e(
  t,
  'a private image, by the configured credential, for clients of another host',
  [...ORIGIN_PROGRAMS, ...HOST_PROGRAMS, 'containerd', 'ctr', 'podman', 'skopeo', 'dockerd'],
  async (t, rig) => {
    const image = await publishImage(rig, await Origin.start(rig));
    const registry = await HtpasswdOrigin.start(rig, [ROBOT]);
    const relay = await Relay.start(registry.url);
    rig.onClose(() => relay.close());
    const other = await OtherHost.start(rig);
    const [shared, asking] = [`${other.here}:${await freePort()}`, `${other.here}:${await freePort()}`];
    const usersFile = join(rig.dir, 'users');
    await writeFile(usersFile, (await hawkerPassword(rig, ALICE)) + htpasswdLine(BOB));
    const hawker = await Hawker.start(rig, 'hawker', relay.url, {
      command: 'up',
      config: {
        supernode: { listen: '127.0.0.1:0' },
        proxy: {
          listen: '127.0.0.1:0',
          listeners: [{ listen: shared }, { listen: asking, login: true }],
          usersFile,
          rules: [{ users: ['alice'], repositories: [`${SECOND_UPSTREAM}/${image.repository}`] }],
        },
      },
      upstream: { username: ROBOT.name, passwordFile: await passwordFile(rig) },
    });
    t.equal(hawker.logged('LOGIN_IN_CLEAR').length, 1, 'passwords cross the network in clear, said once');
    const { by } = other;
    const [sharedFace, askingFace] = [shared, asking].map((address) => ({ address, url: `http://${address}` }));
    const clients = async (who: string, login?: User): Promise<Client[]> => [
      await containerd(rig, sharedFace!, `containerd-${who}`, undefined, { by, ...(login && { login }) }),
      await podman(rig, askingFace!, { name: podmanOf(who), by, ...(login && { login }) }),
      skopeo(rig, askingFace!, { name: `skopeo-${who}`, by, ...(login && { login }) }),
    ];
    const refused: [string, User | undefined][] = [
      ['bob', BOB],
      ['stranger', undefined],
      ['guesser', WRONG],
    ];
    const theirs = await Promise.all(refused.map(async ([who, login]) => ({ who, all: await clients(who, login) })));
    /** What the mirror has refused to the other host. */
    const refusals = () =>
      ['RULE_MISSING', 'LOOPBACK_ONLY', 'LOGIN_REFUSED'].flatMap((code) => hawker.logged(code)).length;
    const nobodyReads = async (when: string): Promise<void> => {
      for (const { who, all } of theirs) {
        for (const client of all) {
          const before = refusals();
          await t.rejects(client.pull(image, SECOND_UPSTREAM), `${who}, ${when}, by ${client.name}`);
          // By the mirror, and by nothing before it; its log may come a moment after its answer.
          await until(`${client.name} is refused by the mirror`, BOUND_MS, async () => refusals() > before);
        }
      }
      for (const [who, login] of refused) {
        for (const { url } of [sharedFace!, askingFace!])
          t.same(await readable(other, url, pathsOf(image), login), [], `${who}, who knows each path, ${when}`);
      }
    };
    await nobodyReads('cold');
    t.same(relay.exchanges, [], 'for whom the registry was not even asked');
    for (const client of await clients('alice', ALICE)) {
      for (const when of ['cold or warm', 'warm'])
        t.same(await client.pull(image, SECOND_UPSTREAM), client.expected(image), `alice, ${when}, by ${client.name}`);
    }
    const paths = pathsOf(image).filter((path) => !path.includes('/referrers/'));
    // docker-registry does no HEAD for lists.
    const all = paths.flatMap((path) => (path.endsWith('/tags/list') ? [path] : [`--head ${path}`, path]));
    t.same(await readable(other, shared, paths, ALICE), all, 'alice, HEAD and GET');
    await nobodyReads('warm');
    const otherName = image.repository.replace(/[^/]+$/, 'other');
    const elsewhere = [...image.native.blobs.keys()].map((digest) => `/v2/${otherName}/blobs/${digest}`);
    t.same(await readable(other, shared, elsewhere, ALICE), [], 'alice, where no rule lets her');
    const local = await containerd(rig, hawker, 'containerd-local');
    t.same(await local.pull(image, 'docker.io'), local.expected(image), 'a client on the mirror’s own machine');
    const dockerd = await docker(rig, hawker);
    t.same(await dockerd.pull(image, 'docker.io'), dockerd.expected(image), 'and dockerd, which is asked for nothing');
    await relay.down();
    await nobodyReads('with the registry down');
    const [blob] = image.native.blobs.keys();
    t.same((await readable(other, shared, [`/v2/${image.repository}/blobs/${blob}`], ALICE)).length, 2, 'alice, warm');
    for (const { password } of [ROBOT, ALICE, BOB, WRONG]) {
      t.notOk(hawker.log().includes(password), 'no password in the log');
      t.notOk(hawker.log().includes(Buffer.from(password).toString('base64').slice(0, 16)));
    }
    // The file is read again.
    await relay.up();
    await writeFile(usersFile, htpasswdLine(BOB));
    process.kill(hawker.pid, 'SIGHUP');
    await until(
      'alice is out',
      BOUND_MS,
      async () => (await readable(other, shared, paths.slice(0, 1), ALICE)).length === 0,
    );
    // Its log may come a moment after.
    await until('that is said', BOUND_MS, () => hawker.logged('CONFIG_RELOADED').length === 1);
  },
);

/** A certificate for an address, by an authority of its own; what a client needs beside it. */
async function certificates(rig: Rig, address: string): Promise<{ cert: string; key: string; clientCa: string }> {
  const dir = await rig.folder('tls');
  const file = (name: string) => join(dir, name);
  const subject = [
    '-subj',
    '/CN=mirror',
    '-addext',
    `subjectAltName=IP:${address}`,
    '-addext',
    'basicConstraints=CA:TRUE',
  ];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await must('openssl', ['req', '-x509', ...curve, '-keyout', file('key'), '-out', file('cert'), ...subject]);
  await writeFile(file('clients-ca'), CLIENT_CA);
  for (const [who, tls] of [
    ['alice', ALICE_TLS],
    ['stranger', undefined],
  ] as const) {
    await mkdir(file(who));
    await writeFile(join(file(who), 'ca.crt'), await readFile(file('cert')));
    if (tls) await writeFile(join(file(who), 'client.cert'), tls.cert);
    if (tls) await writeFile(join(file(who), 'client.key'), tls.key);
  }
  return { cert: file('cert'), key: file('key'), clientCa: file('clients-ca') };
}

e2e(
  t,
  'the mirror over TLS: clients that are known by a certificate',
  [...ORIGIN_PROGRAMS, ...HOST_PROGRAMS, 'containerd', 'ctr', 'podman', 'skopeo', 'dockerd', 'openssl'],
  async (t, rig) => {
    const image = await publishImage(rig, await Origin.start(rig));
    const registry = await HtpasswdOrigin.start(rig, [ROBOT]);
    const other = await OtherHost.start(rig);
    const tls = await certificates(rig, other.here);
    const hawker = await Hawker.start(rig, 'hawker', registry.url, {
      command: 'up',
      config: {
        supernode: { listen: '127.0.0.1:0' },
        proxy: {
          listen: '0.0.0.0:0',
          tls,
          rules: [{ users: ['alice'], repositories: [`*/${image.repository}`] }],
        },
      },
      upstream: { username: ROBOT.name, passwordFile: await passwordFile(rig) },
    });
    const port = hawker.address.replace(/^.*:/, '');
    const face = { address: `${other.here}:${port}`, url: `https://${other.here}:${port}` };
    const { by } = other;
    const clients = async (who: string): Promise<Client[]> => [
      await containerd(rig, face, `containerd-${who}`, undefined, { by, certificates: join(rig.dir, 'tls', who) }),
      await podman(rig, face, { name: podmanOf(who), by, certificates: join(rig.dir, 'tls', who) }),
      skopeo(rig, face, { name: `skopeo-${who}`, by, certificates: join(rig.dir, 'tls', who) }),
    ];
    for (const client of await clients('alice'))
      t.same(await client.pull(image, SECOND_UPSTREAM), client.expected(image), `alice, by ${client.name}`);
    // containerd's `client` names files that must be there.
    for (const client of (await clients('stranger')).slice(1))
      await t.rejects(client.pull(image, SECOND_UPSTREAM), `a client without a certificate, by ${client.name}`);
    const bare = ['--cacert', tls.cert, '--silent', '--output', '/dev/null', '--write-out', '%{http_code}'];
    const [first, rest] = runBy(by, 'curl', []);
    const blob = `${face.url}${pathsOf(image).find((path) => path.includes('/blobs/'))}?ns=${SECOND_UPSTREAM}`;
    t.equal(await must(first, [...rest, ...bare, blob]), '404');
    t.equal(await must(first, [...rest, ...bare, `${face.url}/v2/`]), '200');
    const local = { address: `127.0.0.1:${port}`, url: `https://127.0.0.1:${port}` };
    const dockerd = await docker(rig, local);
    t.same(await dockerd.pull(image, 'docker.io'), dockerd.expected(image), 'dockerd, at an https mirror');
    // docker has no other place for certificates; what is written there is gone with the sandbox.
    const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
    if (!mounts.some((line) => line.split(' ')[4] === '/etc')) return;
    for (const [who, expected] of [
      ['stranger', false],
      ['alice', true],
    ] as const) {
      await mkdir('/etc/docker/certs.d', { recursive: true });
      await cp(join(rig.dir, 'tls', who), `/etc/docker/certs.d/${face.address}`, { recursive: true });
      const remote = await docker(rig, face, `dockerd-${who}`);
      const pull = remote.pull(image, 'docker.io');
      if (expected) t.same(await pull, remote.expected(image), `${who}, by dockerd, not on loopback`);
      else await t.rejects(pull, `${who}, by dockerd, not on loopback`);
    }
  },
);

e2e(t, 'a credential helper whose passwords are good for moments only', [...ORIGIN_PROGRAMS, 'sh'], async (t, rig) => {
  const open = await Origin.start(rig);
  const rounds = 6;
  const images: Published[] = [];
  for (let i = 0; i < rounds; i += 1) images.push(await publishLarge(rig, open, `library/round-${i}`, 2 * MiB));
  const user = (n: number): User => ({ name: 'AWS', password: `password-number-${n}` });
  const registry = await HtpasswdOrigin.start(rig, [user(0)]);
  const bin = await rig.folder('bin');
  const [answer, calls] = [join(rig.dir, 'helper-answer'), join(rig.dir, 'helper-calls')];
  await writeFile(calls, '');
  await writeFile(
    join(bin, 'docker-credential-hawker-test'),
    `#!/bin/sh\nread server\necho "$1 $server" >> '${calls}'\ncat '${answer}'\n`,
    { mode: 0o755 },
  );
  const give = (n: number) => writeFile(answer, JSON.stringify({ Username: 'AWS', Secret: user(n).password }));
  await give(0);
  const hawker = await Hawker.start(rig, 'hawker', registry.url, {
    command: 'up',
    config: { supernode: { listen: '127.0.0.1:0' } },
    env: { PATH: `${bin}:${process.env['PATH']}` },
    upstream: { credentialHelper: 'hawker-test' },
  });
  const pull = async ({ repository, tag, native }: Published): Promise<number[]> => {
    const paths = [`manifests/${tag}`, 'tags/list', ...[...native.blobs.keys()].map((digest) => `blobs/${digest}`)];
    const asked = [...paths, ...paths].map(async (path) => {
      const response = await fetch(`${hawker.url}/v2/${repository}/${path}`);
      await response.arrayBuffer();
      return response.status;
    });
    return [...new Set(await Promise.all(asked))];
  };
  for (const [n, image] of images.entries()) {
    t.same(await pull(image), [200], `with password ${n}`);
    // The old one is good until the helper has the new one, as a cloud's are.
    await give(n + 1);
    await registry.setUsers([user(n + 1)]);
    await until('the old password is bad', BOUND_MS, async () => (await registry.status('/v2/', user(n))) === 401);
  }
  const asked = (await readFile(calls, 'utf8')).trim().split('\n');
  t.ok(asked.length <= 2 * rounds, `asked ${asked.length} times in ${rounds} rounds of many requests`);
  t.equal(new Set(asked).size, 1);
  t.equal(asked[0], 'get https://index.docker.io/v1/');
  await writeFile(answer, 'this is no credential');
  t.ok((await pull(images[0]!)).includes(404), 'a client goes to the registry with its own');
  t.match(
    hawker.log(),
    /ORIGIN_CREDENTIALS.*docker-credential-hawker-test: it printed something that is no credential/,
  );
  t.notMatch(hawker.log(), /this is no credential/);
  await give(rounds);
  await until('it is asked again', BOUND_MS, async () => (await pull(images[0]!)).join() === '200');
});
