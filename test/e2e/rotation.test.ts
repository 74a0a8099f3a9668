/**
 * The join secret is replaced, step by step and node by node, by SIGHUP, in a supernode and three proxies under constant pulls: no pull
 * fails, no peer is lost, and the command that takes the steps takes none too early. Who has the old secret only is then out.
 */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { Hawker, MAIN } from './support/hawker.ts';
import { publishLarge, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { type Finished, run } from './support/programs.ts';
import { Puller } from './support/puller.ts';
import { Relay } from './support/relay.ts';
import { e2e } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
const STEP_BOUND_MS = 30_000;
/** Of the origin's link: an image takes a while, so that secrets change in the middle of pulls. */
const ORIGIN_RATE = 12 * MiB;
const IMAGE_BYTES = 12 * MiB;

/** One process and its own copy of the secret file. */
interface Node {
  readonly name: string;
  readonly file: string;
  hangUp(): void;
  changes(): number;
}

e2e(
  t,
  'the join secret is replaced without a restart, a failed pull or a lost peer',
  [...ORIGIN_PROGRAMS],
  async (t, rig) => {
    const origin = await Origin.start(rig);
    const relay = await Relay.start(origin.url);
    rig.onClose(() => relay.close());
    const swarm = await Swarm.start(rig, relay.url);
    const copyFor = async (name: string): Promise<string> => {
      const file = join(rig.dir, `join-secret-${name}`);
      await copyFile(swarm.secretFile, file);
      return file;
    };
    const proxies: Hawker[] = [];
    const nodes: Node[] = [];
    for (const name of ['a', 'b', 'c']) {
      const file = await copyFor(name);
      const proxy = await swarm.join(`node-${name}`, { cluster: { secretFile: file } });
      proxies.push(proxy);
      nodes.push({
        name,
        file,
        hangUp: () => proxy.signal('SIGHUP'),
        changes: () => proxy.logged('SECRET_CHANGED').length,
      });
    }
    const supernode: Node = {
      name: 'supernode',
      file: swarm.secretFile,
      hangUp: () => swarm.signalSupernode('SIGHUP'),
      changes: () => swarm.logged('SECRET_CHANGED').length,
    };

    // The operator's own copy, on which the steps are taken.
    const file = await copyFor('operator');
    const old = (await readFile(file, 'utf8')).trim();
    const config = join(rig.dir, 'operator.json');
    await writeFile(config, JSON.stringify({ supernodes: [swarm.url], cluster: { secretFile: file } }));
    const rotate = (...args: string[]): Promise<Finished> =>
      run(process.execPath, [MAIN, 'token', '--rotate', '--config', config, ...args], { env: rig.environment() });

    const images: Published[] = [await publishLarge(rig, origin, 'library/first', IMAGE_BYTES)];
    relay.paceTo(ORIGIN_RATE);
    const pullers = proxies.map((proxy) => new Puller(proxy, images));
    const rest = async (): Promise<void> => {
      await Promise.all(pullers.map((puller) => puller.stop()));
    };
    rig.onClose(rest);

    const handOut = async (node: Node): Promise<void> => {
      const before = node.changes();
      await copyFile(file, node.file);
      node.hangUp();
      await until(`${node.name} has read it`, STEP_BOUND_MS, () => node.changes() > before);
    };
    const safe = async (): Promise<boolean> => {
      const answer = await (await fetch(`${swarm.url}/api/v1/status`)).json();
      const { rotation } = answer as { rotation: { waiting: number } | null };
      return rotation?.waiting === 0;
    };
    const [a, b, c] = nodes as [Node, Node, Node];
    // The supernode comes last, first, and in the middle.
    for (const [step, order] of [
      ['one', [a, b, c, supernode]],
      ['two', [supernode, c, b, a]],
      ['three', [b, supernode, a, c]],
    ] as const) {
      const image = await publishLarge(rig, origin, `library/${step}`, IMAGE_BYTES);
      images.push(image);
      const layer = image.native.layers[0]!;
      await until(`${step}: it is coming in`, STEP_BOUND_MS, () => relay.bytesOf(`/blobs/${layer}`) > MiB);
      const taken = await rotate();
      t.equal(taken.code, 0, taken.stderr);
      for (const [index, node] of order.entries()) {
        if (step !== 'three') {
          const early = await rotate();
          t.match(
            early,
            { code: 1, stderr: /^hawker: ROTATION_NOT_SAFE: / },
            `${step}: not before ${node.name} has it`,
          );
        }
        await handOut(node);
        if (index === 1) await swarm.ready(`${step}: half of them have it, all can be reached`, proxies);
      }
      if (step !== 'three') await until(`${step}: the next step is safe`, STEP_BOUND_MS, safe);
      await until(`${step}: everybody has the image`, STEP_BOUND_MS, () =>
        pullers.every((puller) => puller.has(image)),
      );
      const { peers } = await swarm.peers();
      t.same(
        peers.map(({ state }) => state),
        ['ready', 'ready', 'ready'],
        step,
      );
    }

    await rest();
    for (const { pulls, failures } of pullers) {
      t.same(failures, [], `${pulls} pulls`);
      t.ok(pulls >= images.length);
    }
    for (const code of ['PEER_LEFT', 'PEER_UNREACHABLE', 'PEER_STALE']) {
      const lost = swarm.logged(code).filter(({ level }) => level === 'warn');
      t.same(lost, [], code);
    }
    t.same((await swarm.peers()).rejected, [], 'nobody was refused, nor had to come back');
    t.equal(swarm.logged('PEER_LEFT').length, 0);
    const now = (await readFile(file, 'utf8')).trim();
    t.not(now, old);
    t.match(now, /^[\w-]{43}$/);

    const logs = [swarm.supernode.log(), ...proxies.map((proxy) => proxy.log())].join('');
    t.notOk(logs.includes(old) || logs.includes(now), 'no secret in any log');

    // One who was forgotten.
    const stale = join(rig.dir, 'join-secret-stale');
    await writeFile(stale, `${old}\n`, { mode: 0o600 });
    const outsider = await Hawker.start(rig, 'node-stale', relay.url, {
      command: 'proxy',
      config: { supernodes: [swarm.url], cluster: { secretFile: stale } },
    });
    const refused = await until('it is refused', STEP_BOUND_MS, async () => {
      return (await swarm.peers()).rejected.find(({ code }) => code === 'NOT_A_MEMBER');
    });
    t.match(refused, { message: /does not have the join secret/ });
    const status = (await (await fetch(`http://${outsider.api}/api/v1/status`)).json()) as object;
    t.match(status, { supernodes: [{ state: 'failed', code: 'NOT_A_MEMBER' }] });
    // It gets the secret, and is in, without a restart.
    await copyFile(file, stale);
    outsider.signal('SIGHUP');
    await swarm.ready('it is in', [...proxies, outsider]);
  },
);

e2e(
  t,
  'who still has the old secret only when it is taken out is shut out, and said to be',
  [...ORIGIN_PROGRAMS],
  async (t, rig) => {
    const origin = await Origin.start(rig);
    const swarm = await Swarm.start(rig, origin.url);
    const config = join(rig.dir, 'operator.json');
    await writeFile(config, JSON.stringify({ supernodes: [swarm.url], cluster: { secretFile: swarm.secretFile } }));
    const file = join(rig.dir, 'join-secret-late');
    await copyFile(swarm.secretFile, file);
    const late = await swarm.join('node-late', { cluster: { secretFile: file } });
    const rotate = (...args: string[]): Promise<Finished> =>
      run(process.execPath, [MAIN, 'token', '--rotate', '--config', config, ...args], { env: rig.environment() });
    const takeUp = async (count: number): Promise<void> => {
      swarm.signalSupernode('SIGHUP');
      await until('it has read it', STEP_BOUND_MS, () => swarm.logged('SECRET_CHANGED').length === count);
    };
    t.match(await rotate(), { code: 0, stdout: /^Step 1 of 3/ });
    await takeUp(1);
    t.match(swarm.logged('SECRET_ROTATION'), [{ second: 'next', ready: 0, waiting: 1, waitingFor: [String] }]);
    t.match(await rotate(), { code: 1, stderr: /ROTATION_NOT_SAFE: .*1 of 1 peer is not so far/ });
    t.match(
      (await swarm.ask('status')).stdout,
      /secret +being replaced: 0 of 1 peer ready for the next step; not yet: /,
    );
    t.match(await rotate('--force'), { code: 0, stdout: /^Step 2 of 3/ });
    await takeUp(2);
    t.match(swarm.logged('SECRET_ROTATION').at(-1), { second: 'previous', waiting: 1, msg: /still use the previous/ });
    t.match((await swarm.ask('peers')).stdout, /SECRET[^]*previous/);
    t.match(await rotate(), { code: 1, stderr: /ROTATION_NOT_SAFE/ });
    t.match(await rotate('--force'), { code: 0, stdout: /^Step 3 of 3/ });
    await takeUp(3);
    await until('its session is ended', STEP_BOUND_MS, () => late.log().includes('"code":"SECRET_RETIRED"'));
    await until('and it is not let in again', STEP_BOUND_MS, async () => {
      const codes = new Set((await swarm.peers()).rejected.map(({ code }) => code));
      return codes.has('SECRET_RETIRED') && codes.has('NOT_A_MEMBER');
    });
    t.match(swarm.logged('SECRET_RETIRED'), [{ level: 'warn', todo: /registers again by itself/ }]);
  },
);
