/**
 * A node is started anew while clients pull (I2): on sockets that systemd's tool hands down no connection is refused and no pull fails; without, the
 * next process takes the ports at once and serves while the one before it ends what it has begun.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { Hawker, listeningAddress, MAIN } from './support/hawker.ts';
import { publishLarge, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { freePort } from './support/ports.ts';
import { run } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
const BOUND_MS = 30_000;
const RESTARTS = 4;
const WORKERS = 4;

/** Keeps the sockets that systemd-socket-activate has opened, and starts the node again each time that it ends. */
const KEEPER = `
pids="$1"; shift
while :; do
  sh -c 'export LISTEN_PID=$$; exec "$@"' sh "$@" &
  echo "$!" >> "$pids"
  wait "$!"
done
`;

/** Fetches a blob by curl, at most so fast; what came of it: '' where all is well. */
async function pull(rig: Rig, url: string, digest: string, name: string, rate?: string): Promise<string> {
  const file = join(rig.dir, `pull-${name}`);
  const limit = rate === undefined ? [] : ['--limit-rate', rate];
  const args = ['--silent', '--show-error', '--fail', ...limit, '--output', file, url];
  const { code, stderr } = await run('curl', args, { boundMs: BOUND_MS * 2 });
  if (code !== 0) return `curl ended with ${code}: ${stderr}`;
  const got = await hashFile(file);
  return got === digest ? '' : `other bytes: ${got}`;
}

/**
 * A client that reads nothing until it is told, of a blob that is larger than what is in the sockets between: reads the rest, and gives
 * the digest of all.
 */
async function heldPull(url: string): Promise<() => Promise<string>> {
  const [answer] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage];
  // It may be broken off before somebody reads it.
  answer.on('error', () => undefined);
  return async () => {
    const hash = createHash('sha256');
    for await (const chunk of answer as AsyncIterable<Buffer>) hash.update(chunk);
    return `sha256:${hash.digest('hex')}`;
  };
}

const blobOf = ({ repository }: Published, digest: string) => `/v2/${repository}/blobs/${digest}`;

e2e(
  t,
  'on handed-down sockets: pulls go on all the while, none is refused, none fails',
  [...ORIGIN_PROGRAMS, 'curl', 'systemd-socket-activate'],
  async (t, rig) => {
    const origin = await Origin.start(rig);
    const image = await publishLarge(rig, origin, 'library/large', 4 * MiB);
    const layer = image.native.layers[0]!;
    const [mirror, pieces, api] = [await freePort(), await freePort(), await freePort()].map((p) => `127.0.0.1:${p}`);
    const config = join(rig.dir, 'node.json');
    const keeper = join(rig.dir, 'keeper.sh');
    const pids = join(rig.dir, 'pids');
    await writeFile(keeper, KEEPER);
    await writeFile(pids, '');
    await writeFile(
      config,
      JSON.stringify({
        // Other ports than those of the sockets: these are not opened.
        proxy: { listen: '127.0.0.1:1', defaultUpstream: 'docker.io' },
        peer: { listen: '127.0.0.1:2' },
        api: { listen: '127.0.0.1:3' },
        supernode: { listen: '127.0.0.1:0' },
        store: { dir: await rig.folder('store'), quota: '1GiB' },
        upstreams: { 'docker.io': { url: origin.url } },
        log: { level: 'info', format: 'json' },
      }),
    );
    const sockets = [mirror!, pieces!, api!].flatMap((address) => ['--listen', address]);
    const command = ['sh', keeper, pids, process.execPath, MAIN, 'up', '--config', config];
    const daemon = rig.daemon('node', 'systemd-socket-activate', [
      ...sockets,
      '--fdname=mirror:pieces:api',
      ...command,
    ]);
    await daemon.ready('its sockets', BOUND_MS, () => daemon.log().includes('Listening on'));

    const url = `http://${mirror}${blobOf(image, layer)}`;
    const failures: string[] = [];
    let pulls = 0;
    const end = new AbortController();
    const worker = async (name: string, rate?: string) => {
      while (!end.signal.aborted) {
        const failure = await pull(rig, url, layer, name, rate);
        pulls += 1;
        if (failure !== '') failures.push(failure);
      }
    };
    // The first connection starts it.
    t.equal(await pull(rig, url, layer, 'first'), '');
    const workers = Array.from({ length: WORKERS }, (_, i) => worker(`fast-${i}`));
    // One that is always under way while a process ends.
    workers.push(worker('slow', '4M'));
    const started = async () => (await readFile(pids, 'utf8')).trim().split('\n').length;
    for (let i = 1; i <= RESTARTS; i += 1) {
      const before = pulls;
      await until('pulls are under way', BOUND_MS, () => pulls >= before + WORKERS);
      const pid = Number((await readFile(pids, 'utf8')).trim().split('\n').at(-1));
      process.kill(pid, 'SIGTERM');
      await until(`process ${i + 1} is started`, BOUND_MS, async () => (await started()) > i);
    }
    const before = pulls;
    await until('the last one serves', BOUND_MS, () => pulls >= before + WORKERS);
    end.abort();
    await Promise.all(workers);
    t.same(failures, [], `${pulls} pulls through ${RESTARTS} restarts`);
    t.ok(pulls > RESTARTS * WORKERS);
    t.comment(`${pulls} pulls, ${RESTARTS} restarts, ${failures.length} failed`);
    t.equal(listeningAddress(daemon.log(), 'mirror'), mirror, 'it listens where the socket does');
    t.equal((await run('curl', ['--silent', '--fail', `http://${api}/livez`])).code, 0);
    t.notMatch(daemon.log(), /SOCKET_UNUSED|UNCAUGHT/);
  },
);

e2e(
  t,
  'without: the next process takes the ports at once, and serves while the one before it ends a pull',
  [...ORIGIN_PROGRAMS, 'curl'],
  async (t, rig) => {
    const origin = await Origin.start(rig);
    const image = await publishLarge(rig, origin, 'library/large', 24 * MiB);
    const layer = image.native.layers[0]!;
    const before = await Hawker.start(rig, 'node', origin.url);
    const url = `${before.url}${blobOf(image, layer)}`;
    t.equal(await pull(rig, url, layer, 'warm-up'), '');
    // A client has the end of a blob a moment before it is kept.
    await until('it is kept', BOUND_MS, async () => {
      const status = await (await fetch(`http://${before.api}/api/v1/status`)).json();
      return (status as { downloads: unknown[] }).downloads.length === 0;
    });

    const rest = await heldPull(url);
    await until('it is under way', BOUND_MS, async () => {
      const metrics = await (await fetch(`http://${before.api}/metrics`)).text();
      return /hawker_client_bytes_total\{source="store"\} [1-9]/.test(metrics);
    });
    before.terminate();
    // The same ports, the same store.
    await before.start();
    t.equal(await pull(rig, url, layer, 'meanwhile'), '', 'the new process serves, while the old one still sends');
    t.equal(before.logged('STORE_HANDOVER').length, 1);
    t.equal(await rest(), layer, 'the pull that was under way is whole');
    await until('the store has changed hands', BOUND_MS, () => before.logged('STORE_OPENED').length === 1);
    const last = await run('curl', ['--silent', '--fail', '--output', '/dev/null', '--dump-header', '-', url]);
    t.match(last.stdout, /x-hawker-source: store/i, 'and what it had is served from it');
  },
);
