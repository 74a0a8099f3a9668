/**
 * Who can do what (I4) where everything speaks TLS: in a cluster with `cluster.tls` and a join secret, and at a mirror where clients
 * of other machines log in, by a password or a certificate. The page says what came of each attempt; `--write` fills it in.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Host } from '../../scripts/netns/host.ts';
import type { Membership } from '../../src/p2p/protocol/membership.ts';
import type { TlsFiles } from '../../src/p2p/protocol/tls-files.ts';
import { TestCa } from '../support/test-ca.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import type { Hawker } from './support/hawker.ts';
import { HtpasswdOrigin, htpasswdLine } from './support/htpasswd-origin.ts';
import { publishImage, publishLarge, type Published } from './support/images.ts';
import { OpenCluster, OWN_ADDRESS, type Reply, type Speaking } from './support/open-cluster.ts';
import { Origin } from './support/origin.ts';
import { basicOf, type User } from './support/private-origin.ts';
import { Relay } from './support/relay.ts';
import { checkRights, entered, outcome } from './support/rights-table.ts';
import { e2e, type Rig } from './support/rig.ts';

const ROBOT = { name: 'robot', password: 'the-password-of-the-robot' };
const ALICE = { name: 'alice', password: 'the-password-of-alice' };
const BOB = { name: 'bob', password: 'the-password-of-bob' };
const WRONG_PASSWORD = 'a-guess';
const OPEN_UPSTREAM = 'open.test';
const NAMES = `IP:${OWN_ADDRESS},IP:127.0.0.1,DNS:localhost`;
const PROGRAMS = [...ORIGIN_PROGRAMS, 'curl', 'ip', 'nsenter', 'openssl'];

interface Scene {
  readonly cluster: OpenCluster;
  readonly node: Hawker;
  /** The image that only the configured credential reads. */
  readonly image: Published;
  readonly open: Published;
  readonly relays: readonly Relay[];
  /** Of the cluster; of the mirror and of its clients; of nobody here. */
  readonly cas: Readonly<Record<'cluster' | 'mirror' | 'foreign', TestCa>>;
}

async function scene(t: Test, rig: Rig): Promise<Scene> {
  const origin = await Origin.start(rig);
  const image = await publishImage(rig, origin);
  const open = await publishLarge(rig, origin, 'library/open', 100_000);
  const registry = await HtpasswdOrigin.start(rig, [ROBOT]);
  const relays = await Promise.all([registry, origin].map(({ url }) => Relay.start(url)));
  for (const relay of relays) rig.onClose(() => relay.close());
  const [cluster, mirror, foreign] = ['cluster', 'mirror', 'foreign'].map((name) => TestCa.root(t, name)) as [
    TestCa,
    TestCa,
    TestCa,
  ];
  const files = {
    supernode: cluster.issue('supernode', { names: NAMES }),
    node: cluster.issue('node', { names: NAMES }),
  };
  const opened = await OpenCluster.start(rig, registry.url, files);
  const node = await opened.join('node', await mirrorSettings(rig, relays, image, mirror));
  return { cluster: opened, node, image, open, relays, cas: { cluster, mirror, foreign } };
}

async function mirrorSettings(
  rig: Rig,
  [closed, open]: readonly Relay[],
  { repository }: Published,
  ca: TestCa,
): Promise<Record<string, unknown>> {
  const usersFile = join(rig.dir, 'users');
  await writeFile(usersFile, htpasswdLine(ALICE) + htpasswdLine(BOB), { mode: 0o600 });
  const passwordFile = join(rig.dir, 'robots-password');
  await writeFile(passwordFile, `${ROBOT.password}\n`, { mode: 0o600 });
  const { cert, key } = ca.issue('mirror', { names: NAMES });
  return {
    proxy: {
      listen: '0.0.0.0:0',
      tls: { cert, key, clientCa: ca.cert },
      usersFile,
      rules: [{ users: [ALICE.name], repositories: [`docker.io/${repository}`] }],
    },
    upstreams: {
      'docker.io': { url: closed!.url, username: ROBOT.name, passwordFile },
      [OPEN_UPSTREAM]: { url: open!.url },
    },
  };
}

interface ClusterActor {
  readonly name: string;
  readonly from: Host | undefined;
  readonly tls: Speaking;
  /** With `tls`, as a node has them. */
  readonly files?: TlsFiles;
  readonly secretFile?: string;
  /** The `Authorization` at a piece port; undefined: none. */
  readonly pieces?: string;
  /** That at the supernode. */
  readonly api?: string;
}

async function clusterActors(rig: Rig, { cluster, node, cas }: Scene): Promise<ClusterActor[]> {
  const { stranger, membership, secretFile } = cluster;
  const tls = cluster.trusting!;
  const member = cas.cluster.issue('a member');
  // He trusts both: his own certificate goes back to a root that he has, and the cluster's CA is no secret.
  const foreign = { ...cas.foreign.issue('a member'), ca: join(rig.dir, 'both-roots.pem') };
  await writeFile(foreign.ca, (await readFile(cas.foreign.cert)) + (await readFile(tls.ca, 'utf8')));
  const { body } = await cluster.ask(node.pieces, `/v1/whoami?nonce=${'n'.repeat(22)}`, { tls: member });
  const { peer: sender, instance } = JSON.parse(body) as { peer: string; instance: string };
  const token = (by: Membership) => `Hawker ${by.pieceToken({ sender, instance, receiver: 'somebody-0' }, Date.now())}`;
  const secret = { secretFile, pieces: token(membership), api: `Bearer ${membership.readerTokens[0]}` };
  return [
    { name: 'member of the cluster', from: undefined, tls: member, files: member, ...secret },
    { name: 'a member’s certificate, without the secret', from: stranger, tls: member, files: member },
    { name: 'the secret, without a certificate', from: stranger, tls, ...secret },
    { name: 'the secret, and a certificate of another CA', from: stranger, tls: foreign, files: foreign, ...secret },
    { name: 'operator', from: stranger, tls, api: `Bearer ${cluster.operatorToken}` },
    { name: 'stranger', from: stranger, tls },
  ];
}

const authorization = (value: string | undefined): Record<string, string> =>
  value === undefined ? {} : { authorization: value };

async function tryTheCluster(rig: Rig, at: Scene): Promise<string[][]> {
  const { cluster, node, image } = at;
  const blob = `/v1/blobs/${image.native.layers[SMALL]!}`;
  const actors = await clusterActors(rig, at);
  return await Promise.all(
    actors.map(async (actor, index) => {
      const { from, tls, pieces, api } = actor;
      const read = (listener: string, path: string, value: string | undefined, by: Speaking | undefined) =>
        cluster.ask(listener, path, { from, headers: authorization(value), tls: by });
      const command = { from, headers: authorization(api), tls };
      const order = await cluster.ask(cluster.supernode, '/api/v1/preheat', { ...command, method: 'POST' });
      const cancel = await cluster.ask(cluster.supernode, '/api/v1/preheat/none', { ...command, method: 'DELETE' });
      const joined = await cluster.tryToJoin(`join-${index}`, actor);
      return [
        actor.name,
        outcome((await read(node.pieces, blob, pieces, tls)).status),
        outcome((await read(node.pieces, blob, pieces, undefined)).status),
        joined === 'connected' ? 'yes' : `no (${joined})`,
        outcome((await read(cluster.supernode, '/api/v1/blobs', api, tls)).status),
        outcome((await read(cluster.supernode, '/api/v1/blobs', api, undefined)).status),
        [...new Set([entered(order.status), entered(cancel.status)])].join(' or '),
      ];
    }),
  );
}

const CLUSTER_COLUMNS = [
  'Who',
  'a piece',
  'a piece, without TLS',
  'join',
  'read the supernode',
  'read it, without TLS',
  'command it',
];

interface MirrorActor {
  readonly name: string;
  readonly from: Host | undefined;
  readonly tls: Speaking;
  readonly login?: User;
}

/** Those who may read come last, so that the others find nothing here yet. */
function mirrorActors({ cluster: { stranger }, cas: { cluster, mirror, foreign } }: Scene): MirrorActor[] {
  const tls = { ca: mirror.cert };
  const certificate = (by: TestCa, user: User) => ({ ...by.issue(user.name, { usage: 'clientAuth' }), ...tls });
  const far = { from: stranger, tls };
  const certified = (by: TestCa, user: User) => ({ from: stranger, tls: certificate(by, user) });
  return [
    { name: 'anonymous client on the network', ...far },
    { name: 'a wrong password', ...far, login: { name: ALICE.name, password: WRONG_PASSWORD } },
    { name: 'bob’s password, whom no rule names', ...far, login: BOB },
    { name: 'bob’s certificate', ...certified(mirror, BOB) },
    { name: 'a certificate for alice, of another CA', ...certified(foreign, ALICE) },
    { name: 'a certificate for alice, of the cluster’s CA', ...certified(cluster, ALICE) },
    { name: 'alice’s password, whom a rule names', ...far, login: ALICE },
    { name: 'alice’s certificate', ...certified(mirror, ALICE) },
    { name: 'anonymous client on the node', from: undefined, tls },
  ];
}

const MIRROR_COLUMNS = [
  'Who',
  'a public blob',
  'a private one, not here yet',
  'a private one, from the store',
  'its tags',
  'a public blob, registry down',
  'the private one, registry down',
];
const READERS = 3;
/** The first of the layers of some kilobytes. */
const SMALL = 3;

async function tryTheMirror(at: Scene): Promise<string[][]> {
  const { cluster, node, image, open, relays } = at;
  const actors = mirrorActors(at);
  const cells = new Map(actors.map((actor) => [actor, [actor.name]]));
  const ask = ({ from, tls, login }: MirrorActor, path: string): Promise<Reply> =>
    cluster.ask(node.address, path, { from, tls, headers: authorization(login && basicOf(login)) });
  const column = async (pathOf: (reader: number) => string) => {
    for (const [index, actor] of actors.entries()) {
      const path = pathOf(Math.max(0, index - (actors.length - READERS)));
      cells.get(actor)!.push(outcome((await ask(actor, path)).status));
    }
  };
  const blob = (n: number) => `/v2/${image.repository}/blobs/${image.native.layers[SMALL + n]!}`;
  const publicBlob = `/v2/${OPEN_UPSTREAM}/${open.repository}/blobs/${open.native.layers[0]!}`;
  await column(() => publicBlob);
  // Each of those who may read has one of his own.
  await column(blob);
  await column(() => blob(0));
  await column(() => `/v2/${image.repository}/tags/list`);
  for (const relay of relays) await relay.down();
  await column(() => publicBlob);
  await column(() => blob(0));
  for (const relay of relays) await relay.up();
  return [...cells.values()];
}

e2e(t, 'who can do what, with TLS and logins', PROGRAMS, async (t, rig) => {
  const at = await scene(t, rig);
  await checkRights(t, 'mirror with logins', { head: MIRROR_COLUMNS, rows: await tryTheMirror(at) });
  // What they try to get is in the store by now.
  await checkRights(t, 'cluster with TLS', { head: CLUSTER_COLUMNS, rows: await tryTheCluster(rig, at) });
  const log = at.node.log();
  for (const { password } of [ROBOT, ALICE, BOB]) t.notOk(log.includes(password), 'no password in a log');
});
