/**
 * Who can do what (I4): every actor of docs/security.md tries everything of its table, in a cluster that others on the network can
 * reach, with a real registry and its token service. The page says what came of it; `--write` fills it in. And bob, who knows every
 * digest, tries everything else.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Host } from '../../scripts/netns/host.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { ClaimingRegistry } from '../support/claiming-registry.ts';
import { HostileRegistry, testBlob } from '../support/hostile-registry.ts';
import { Client } from '../support/session-client.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { Hawker, listeningAddress } from './support/hawker.ts';
import { publishImage, publishLarge, type Published } from './support/images.ts';
import { OpenCluster, type Asking } from './support/open-cluster.ts';
import { Origin } from './support/origin.ts';
import { freePort } from './support/ports.ts';
import { basicOf, PrivateOrigin } from './support/private-origin.ts';
import { Relay } from './support/relay.ts';
import { checkRights, entered, outcome, type Rights } from './support/rights-table.ts';
import { e2e, type Rig } from './support/rig.ts';
import { supernodeRights } from './support/supernode-routes.ts';
import { until } from './support/wait.ts';

const ALICE = { name: 'alice', password: 'the-password-of-alice' };
const BOB = { name: 'bob', password: 'the-password-of-bob' };
const HELD_BOUND_MS = 15_000;
const TOKEN_OLD_MS = 6 * 60_000;
const WRONG_SECRET = 'a secret of another cluster, which is long enough';
const PROGRAMS = [...ORIGIN_PROGRAMS, 'curl', 'ip', 'nsenter'];

interface Scene {
  readonly rig: Rig;
  readonly cluster: OpenCluster;
  readonly registry: PrivateOrigin;
  readonly relay: Relay;
  readonly one: Hawker;
  readonly two: Hawker;
  /** Of the second node, bound to Docker Hub. */
  readonly bound: string;
  /** A registry of bob's that says of every digest that it has it. */
  readonly claims: ClaimingRegistry;
  readonly image: Published;
  readonly open: Published;
  readonly bobs: Published;
}

async function scene(rig: Rig): Promise<Scene> {
  const origin = await Origin.start(rig);
  const image = await publishImage(rig, origin);
  const open = await publishLarge(rig, origin, 'library/open', 100_000);
  const bobs = await publishLarge(rig, origin, 'library/bobs', 50_000);
  const owners = { [image.repository]: ALICE.name, [bobs.repository]: BOB.name };
  const registry = await PrivateOrigin.start(rig, [ALICE, BOB], owners);
  const relay = await Relay.start(registry.url);
  rig.onClose(() => relay.close());
  const cluster = await OpenCluster.start(rig, relay.url);
  const claims = await ClaimingRegistry.start();
  rig.onClose(() => claims.close());
  for (const [digest, size] of image.native.blobs) claims.sizes.set(digest, size);
  const allow = ['127.0.0.0/8'];
  const upstreams = {
    'bobs.test': { url: (await registryOfBob(rig, image)).url, allow },
    'claims.test': { url: claims.url, allow },
  };
  const bound = `0.0.0.0:${await freePort()}`;
  const one = await cluster.join('one', { upstreams });
  const listeners = [{ listen: bound, upstream: 'docker.io' }];
  const two = await cluster.join('two', { upstreams, proxy: { listen: '0.0.0.0:0', listeners } });
  return { rig, cluster, registry, relay, one, two, bound, claims, image, open, bobs };
}

/** Bob may write what he likes into a registry of his own: a manifest that names what is alice's, say. */
async function registryOfBob(rig: Rig, { native }: Published): Promise<HostileRegistry> {
  const registry = await HostileRegistry.start();
  rig.onClose(() => registry.close());
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const [config, ...layers] = [...native.blobs].map(([digest, size]) => ({
    mediaType: 'application/octet-stream',
    digest,
    size,
  }));
  const text = JSON.stringify({ schemaVersion: 2, mediaType, config, layers });
  registry.addManifest('evil/app', testBlob(Buffer.from(text), mediaType), 'v1');
  return registry;
}

interface Actor {
  readonly name: string;
  readonly from: Host | undefined;
  /** For a repository at the registry. */
  readonly login?: (repository: string) => Promise<string>;
  /** The `Authorization` at a piece port; undefined: none. */
  readonly pieces?: string;
  /** That at the supernode. */
  readonly api?: string;
  readonly secretFile?: string;
}

async function actorsOf({ rig, cluster, registry, one }: Scene): Promise<Actor[]> {
  const { stranger, membership, secretFile } = cluster;
  const wrong = new Membership(WRONG_SECRET);
  const wrongFile = join(rig.dir, 'wrong-secret');
  await writeFile(wrongFile, `${WRONG_SECRET}\n`, { mode: 0o600 });
  const sender = await whoIs(cluster, one);
  const token = (by: Membership) => `Hawker ${by.pieceToken({ ...sender, receiver: 'somebody-0' }, Date.now())}`;
  const alice = { login: (repository: string) => registry.authorization(ALICE, repository) };
  const bob = { login: (repository: string) => registry.authorization(BOB, repository) };
  const operator = `Bearer ${cluster.operatorToken}`;
  const forged = { pieces: token(wrong), api: `Bearer ${wrong.readerTokens[0]}`, secretFile: wrongFile };
  return [
    { name: 'anonymous client on the node', from: undefined },
    { name: 'anonymous client on the network', from: stranger },
    { name: 'alice on the node', from: undefined, ...alice },
    { name: 'alice on the network', from: stranger, ...alice },
    { name: 'bob on the node', from: undefined, ...bob },
    { name: 'bob on the network', from: stranger, ...bob },
    {
      name: 'member of the cluster',
      from: undefined,
      pieces: token(membership),
      api: `Bearer ${membership.readerTokens[0]}`,
      secretFile,
    },
    { name: 'operator', from: stranger, login: async () => operator, api: operator },
    { name: 'stranger with a secret of his own', from: stranger, login: async () => 'Bearer forged', ...forged },
  ];
}

/** A peer's id and instance: it tells them to everybody who asks. */
async function whoIs(cluster: OpenCluster, node: Hawker): Promise<{ sender: string; instance: string }> {
  const { body } = await cluster.ask(node.pieces, `/v1/whoami?nonce=${'n'.repeat(22)}`);
  const { peer, instance } = JSON.parse(body) as { peer: string; instance: string };
  return { sender: peer, instance };
}

const COLUMNS = [
  'Who',
  'a public blob',
  "alice's, not here yet",
  "alice's, from the store",
  'a piece of it',
  'join',
  'read the supernode',
  'command it',
  "a node's API",
  'a public blob, registry down',
  "alice's, registry down",
];

/** The cells of each actor, in the order of the columns. */
async function tryEverything(at: Scene): Promise<string[][]> {
  const { cluster, relay, one, two, image, open } = at;
  const actors = await actorsOf(at);
  const [, , , first, second] = image.native.layers as [string, string, string, string, string];
  const read = async ({ from, login }: Actor, { repository }: Published, digest: string, node = one) => {
    const authorization = await login?.(repository);
    const asking = { from, ...(authorization !== undefined && { headers: { authorization } }) };
    return outcome((await cluster.ask(node.address, `/v2/${repository}/blobs/${digest}`, asking)).status);
  };
  const isAlice = ({ name }: Actor) => name.startsWith('alice');
  const cells = new Map(actors.map((actor) => [actor, [actor.name]]));
  const column = async (attempt: (actor: Actor) => Promise<string>, order = actors) => {
    for (const actor of order) cells.get(actor)!.push(await attempt(actor));
  };
  await column((actor) => read(actor, open, open.native.layers[0]!));
  // Those who may not come first: what alice has read is here. Each of her two reads another one.
  await column(
    (actor) => read(actor, image, first),
    actors.filter((actor) => !isAlice(actor)),
  );
  const [near, far] = actors.filter(isAlice) as [Actor, Actor];
  await column((actor) => read(actor, image, first), [near]);
  await column((actor) => read(actor, image, second, two), [far]);
  await pullAll(at);
  await column((actor) => read(actor, image, first));
  const header = (authorization: string | undefined): Pick<Asking, 'headers'> =>
    authorization === undefined ? {} : { headers: { authorization } };
  await column(async ({ from, pieces }) =>
    outcome((await cluster.ask(one.pieces, `/v1/blobs/${first}`, { from, ...header(pieces) })).status),
  );
  const joins = new Map(
    await Promise.all(
      actors.map(async (actor, index): Promise<[Actor, string]> => [
        actor,
        await cluster.tryToJoin(`join-${index}`, actor),
      ]),
    ),
  );
  await column(async (actor) => (joins.get(actor) === 'connected' ? 'yes' : `no (${joins.get(actor)})`));
  await column(async ({ from, api }) =>
    outcome((await cluster.ask(cluster.supernode, '/api/v1/blobs', { from, ...header(api) })).status),
  );
  await column(async ({ from, api }) => {
    const command = async (method: string, path: string) =>
      entered((await cluster.ask(cluster.supernode, path, { from, method, ...header(api) })).status);
    const cells = [await command('POST', '/api/v1/preheat'), await command('DELETE', '/api/v1/preheat/none')];
    return [...new Set(cells)].join(' or ');
  });
  await column(async ({ from, api }) =>
    outcome((await cluster.ask(one.api, '/api/v1/status', { from, ...header(api) })).status),
  );
  const logins = new Map<string, Promise<string>>();
  const remembered = actors.map((actor) => ({
    ...actor,
    ...(actor.login && {
      login: (repository: string) => {
        const key = `${actor.name} ${repository}`;
        if (!logins.has(key)) logins.set(key, actor.login!(repository));
        return logins.get(key)!;
      },
    }),
  }));
  // Their tokens are of the time before, as the right is that alice has.
  for (const actor of remembered) for (const { repository } of [open, image]) await actor.login?.(repository);
  for (const actor of remembered.filter(isAlice)) await read(actor, image, first);
  await relay.down();
  for (const published of [open, image]) {
    const digest = published === open ? open.native.layers[0]! : first;
    for (const [index, actor] of actors.entries())
      cells.get(actor)!.push(await read(remembered[index]!, published, digest));
  }
  await relay.up();
  return actors.map((actor) => cells.get(actor)!);
}

/** The supernode of the cluster, and one on loopback. */
async function rightsAtSupernodes({ rig, cluster, relay, image, open }: Scene): Promise<Rights> {
  const near = await Hawker.start(rig, 'near', relay.url);
  const layer = open.native.layers[0]!;
  await (await fetch(`${near.url}/v2/${open.repository}/blobs/${layer}`)).arrayBuffer();
  const supernode = listeningAddress(near.log(), 'supernode')!;
  await until('its supernode knows the blob', HELD_BOUND_MS, async () => {
    const { body } = await cluster.ask(supernode, '/api/v1/blobs');
    return body.includes(layer);
  });
  return supernodeRights(cluster, near, { cluster: image.native.layers[0]!, near: layer });
}

/** Alice pulls all of it through both nodes. */
async function pullAll({ cluster, registry, one, two, image }: Scene): Promise<void> {
  const headers = { authorization: await registry.authorization(ALICE, image.repository) };
  for (const node of [one, two]) {
    for (const path of pathsOf(image)) {
      const answer = await fetch(
        `http://${cluster.addressFor(node.address, undefined)}/v2/${image.repository}/${path}`,
        { headers },
      );
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`alice's pull of ${path}: ${answer.status}`);
    }
  }
  await until('both hold it', HELD_BOUND_MS, async () => {
    const { body } = await cluster.ask(cluster.supernode, '/api/v1/blobs', { headers: cluster.operator });
    const { blobs } = JSON.parse(body) as { blobs: { digest: string; holders: string[] }[] };
    return [...image.native.blobs.keys()].every(
      (digest) => blobs.find((blob) => blob.digest === digest)?.holders.length === 2,
    );
  });
}

const pathsOf = ({ tag, digest, native }: Published): string[] => [
  `manifests/${tag}`,
  `manifests/${digest}`,
  ...[...native.blobs.keys()].map((blob) => `blobs/${blob}`),
];

/** Every way in which bob could ask for what is alice's, by any name. */
function pathsOfBob({ image, open, bobs }: Scene): string[] {
  const own = pathsOf(image).map((path) => `${image.repository}/${path}`);
  const byDigest = pathsOf(image).slice(1);
  const elsewhere = [open.repository, bobs.repository, 'registry.test/library/open'].flatMap((repository) =>
    byDigest.map((path) => `${repository}/${path}`),
  );
  const evil = byDigest.map((path) => `bobs.test/evil/app/${path}`);
  return [
    ...own,
    `${image.repository}/tags/list`,
    `${image.repository}/referrers/${image.digest}`,
    ...elsewhere,
    ...evil,
  ];
}

async function bobGetsNothing(t: Test, at: Scene, what: string, { quick = false } = {}): Promise<void> {
  const { cluster, registry, one, two, bound, image, bobs, relay } = at;
  const isUp = (await fetch(relay.url).catch(() => undefined)) !== undefined;
  const tokens = isUp
    ? await Promise.all([image, bobs].map(({ repository }) => registry.authorization(BOB, repository)))
    : [];
  const logins = [
    undefined,
    ...tokens,
    basicOf(BOB),
    'Bearer forged',
    registry.expiredAuthorization(ALICE, image.repository),
  ];
  const methods: Asking[] = quick ? [{}] : [{}, { method: 'HEAD' }, { headers: { range: 'bytes=0-0' } }];
  const got: string[] = [];
  const ask = async (
    mirror: string,
    path: string,
    authorization: string | undefined,
    { method = 'GET', headers = {} }: Asking,
  ) => {
    const url = `http://${cluster.addressFor(mirror, undefined)}/v2/${path}`;
    const answer = await fetch(url, {
      method,
      headers: { ...headers, ...(authorization !== undefined && { authorization }) },
    });
    await answer.arrayBuffer();
    if (answer.status !== 401 && answer.status !== 404)
      got.push(`${method} ${url} ${authorization ?? ''}: ${answer.status}`);
  };
  for (const mirror of [one.address, two.address, bound]) {
    // On a listener for one registry no other can be named.
    const paths = pathsOfBob(at).filter((path) => mirror !== bound || path.startsWith('library/'));
    for (const authorization of logins)
      for (const how of methods) await Promise.all(paths.map((path) => ask(mirror, path, authorization, how)));
  }
  t.same(got, [], what);
}

/** A registry that says that it has what is alice's gives bob nothing of it: not what is in the store, nor what a peer has. */
async function claimsGiveNothing(t: Test, { cluster, registry, claims, one, image }: Scene): Promise<void> {
  const upstreams = { 'claims.test': { url: claims.url, allow: ['127.0.0.0/8'] } };
  const late = await cluster.join('late', { upstreams });
  const alice = { authorization: await registry.authorization(ALICE, image.repository) };
  const at = (node: Hawker) => `http://${cluster.addressFor(node.address, undefined)}/v2`;
  claims.tag = image.digest as typeof claims.tag;
  for (const path of pathsOf(image)) {
    const secret = Buffer.from(
      await (await fetch(`${at(one)}/${image.repository}/${path}`, { headers: alice })).arrayBuffer(),
    );
    for (const [node, headers] of [
      [one, {}],
      [one, { range: 'bytes=0-99' }],
      [late, {}],
    ] as const) {
      const answer = await fetch(`${at(node)}/claims.test/any/app/${path}`, { headers });
      if (node === one) t.equal(answer.status, 404, `it is in the store: ${path}`);
      const got: Uint8Array[] = [];
      // What the registry itself gives is cut off when it is known to be wrong.
      await answer.body?.pipeTo(new WritableStream({ write: (part) => void got.push(part) })).catch(() => undefined);
      const bytes = Buffer.concat(got);
      const same = bytes.filter((byte, index) => byte === secret[index]).length;
      const isOwn = answer.status === 404 || same < bytes.length / 10;
      t.ok(isOwn, `${same} of ${bytes.length} bytes of ${path}, status ${answer.status}`);
    }
  }
  t.match(one.log(), /BLOB_NOT_PROVED/, 'which is said');
}

async function piecesAreForMembers(t: Test, { cluster, one, two, image }: Scene, what: string): Promise<void> {
  const { membership, stranger } = cluster;
  const [own, other] = [await whoIs(cluster, one), await whoIs(cluster, two)];
  const receiver = 'bobs-peer-0';
  const now = Date.now();
  const good = membership.pieceToken({ ...own, receiver }, now);
  const bad: Record<string, string | undefined> = {
    none: undefined,
    'a login of the registry': basicOf(BOB),
    'another secret': new Membership(WRONG_SECRET).pieceToken({ ...own, receiver }, now),
    'no secret': new Membership(undefined).pieceToken({ ...own, receiver }, now),
    old: membership.pieceToken({ ...own, receiver }, now - TOKEN_OLD_MS),
    'of tomorrow': membership.pieceToken({ ...own, receiver }, now + TOKEN_OLD_MS),
    'for another node': membership.pieceToken({ ...other, receiver }, now),
    'for another life of it': membership.pieceToken({ ...own, instance: 'instance-before', receiver }, now),
    'for another receiver': good.replace(receiver, 'another-peer'),
    cut: good.slice(0, -1),
    'the token that members read the supernode with': membership.readerTokens[0],
  };
  const layer = image.native.layers[3]!;
  for (const [name, token] of Object.entries(bad)) {
    for (const [from, path] of [
      [undefined, `/v1/blobs/${layer}`],
      [stranger, `/v1/blobs/${layer}`],
      [stranger, `/v1/readings/${layer}?registry=docker.io&repository=library/app&nonce=${'n'.repeat(22)}`],
    ] as const) {
      const headers: Record<string, string> =
        token === undefined ? {} : { authorization: token.startsWith('Basic') ? token : `Hawker ${token}` };
      const { status, body } = await cluster.ask(one.pieces, path, { from, headers });
      t.same([status, body], [403, ''], `${what}: pieces, token: ${name}`);
    }
  }
  const { status } = await cluster.ask(one.pieces, `/v1/blobs/${layer}`, {
    headers: { authorization: `Hawker ${good}` },
  });
  t.equal(status, 200, `${what}: while a member's is good`);
}

async function sessionsAreForMembers(t: Test, { cluster }: Scene): Promise<void> {
  const url = `http://${cluster.supernode}`;
  for (const [what, membership] of Object.entries({
    'no secret': new Membership(undefined),
    'a wrong one': new Membership(WRONG_SECRET),
  })) {
    const bob = new Client(t, url);
    await bob.hello({ peer: 'bobs-peer-0' }, membership);
    await bob.refused(t, 'reject', 'NOT_A_MEMBER');
    t.pass(`no session with ${what}`);
  }
  // Bob has heard how a member proved itself, and says the same.
  const member = new Client(t, url);
  const { nonce, epoch } = await member.next('challenge');
  const peer = { peer: 'member-0', instance: 'instance-1', addresses: [], nonce: 'n'.repeat(22) };
  const proof = cluster.membership.sessionProof('peer', {
    ...peer,
    supernodeNonce: nonce,
    peerNonce: peer.nonce,
    epoch,
  });
  const hello = { t: 'hello', protocol: '1.0', version: '1.2.3', host: 'node', zone: '', time: 0, ...peer, proof };
  member.say(hello);
  await member.next('welcome');
  const bob = new Client(t, url);
  await bob.next('challenge');
  bob.say(hello);
  await bob.refused(t, 'reject', 'NOT_A_MEMBER');
}

e2e(t, 'who can do what, and bob, who knows every digest', PROGRAMS, async (t, rig) => {
  const at = await scene(rig);
  const { cluster, registry, relay, one, two, image } = at;

  await bobGetsNothing(t, at, 'bob, cold', { quick: true });
  await checkRights(t, 'cluster', { head: COLUMNS, rows: await tryEverything(at) });

  await checkRights(t, 'supernode', await rightsAtSupernodes(at));

  const manifest = await fetch(
    `http://${cluster.addressFor(one.address, undefined)}/v2/bobs.test/evil/app/manifests/v1`,
  );
  t.equal(manifest.status, 200, "bob's own manifest, which names what is alice's");
  await manifest.arrayBuffer();
  await bobGetsNothing(t, at, 'bob, warm');
  await claimsGiveNothing(t, at);
  await piecesAreForMembers(t, at, 'all is well');
  await sessionsAreForMembers(t, at);
  const { rejected } = await cluster.peers();
  t.ok(
    rejected.some(({ code }) => code === 'NOT_A_MEMBER'),
    'the operator sees who was turned away',
  );

  registry.giveTo(image.repository, 'carol');
  const late = { authorization: await registry.authorization(ALICE, image.repository) };
  for (const node of [one, two]) {
    for (const path of pathsOf(image)) {
      const url = `http://${cluster.addressFor(node.address, undefined)}/v2/${image.repository}/${path}`;
      const answer = await fetch(url, { headers: late });
      await answer.arrayBuffer();
      t.match(String(answer.status), /401|404/, `alice, who may not any more: ${path}`);
    }
  }
  registry.giveTo(image.repository, ALICE.name);

  await cluster.stopSupernode();
  await bobGetsNothing(t, at, 'bob, with the supernode down', { quick: true });
  await piecesAreForMembers(t, at, 'the supernode is down');
  await relay.down();
  await bobGetsNothing(t, at, 'bob, with the registry down too', { quick: true });
  const logs = [one.log(), two.log(), cluster.supernodeLog].join('\n');
  for (const { password } of [ALICE, BOB]) t.notOk(logs.includes(password), 'no password in a log');
  t.notMatch(logs, /eyJ[\w-]{20,}\./, 'and no token');
});
