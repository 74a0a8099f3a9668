/**
 * The walk through the README, by its own words: the commands of its blocks are run as they stand, on machines of network, mount and
 * process namespaces, and what it says one sees is compared with what is seen. At the end each machine's /etc is as it was.
 *
 * | README                         | here                                                                                |
 * | ------------------------------ | ----------------------------------------------------------------------------------- |
 * | docker.io                      | a registry of the test's own, at that name and behind TLS: machines find it by /etc/hosts |
 * | its images                     | layers of random bytes under the same names                                         |
 * | npm ci, in a clone             | the files of this tree, with its node_modules                                       |
 * | npm install, on each machine   | once: they share the directory of global packages                                   |
 * | ssh between machines, systemd  | `scp` and `systemctl` of the test's own (support/walk/programs.ts)                  |
 * | 10.0.0.11, on another machine  | that machine's address                                                              |
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { e2e } from './support/rig.ts';
import { until } from './support/wait.ts';
import { beginsAs, blocksOf, plainLines, seenAs, type Block } from './support/walk/blocks.ts';
import type { Machine } from './support/walk/machine.ts';
import { createWorld, type World } from './support/walk/world.ts';

const README = fileURLToPath(new URL('../../../README.md', import.meta.url));
/** Answers count by the length that they announce: one that is cut short where another node reads on counts whole. Alone, three nodes take three copies. */
const MOST_COPIES = 2;
const LOOK_BOUND_MS = 40_000;
const ADDRESSES = {
  supernode: '10.0.0.1',
  'node-a': '10.0.0.11',
  'node-b': '10.0.0.12',
  'node-c': '10.0.0.13',
};
const NODES = ['node-a', 'node-b', 'node-c'];
const IMAGES = ['library/nginx:1', 'library/hello-world:latest'];
const RUNTIME_PROGRAMS = ['dockerd', 'docker', 'containerd', 'ctr', 'runc', 'ip', 'iptables', 'nsenter', 'unshare'];
const PROGRAMS = [...ORIGIN_PROGRAMS, ...RUNTIME_PROGRAMS, 'mount', 'openssl', 'curl', 'script', 'git', 'npm', 'tar'];

/** Whether the machines' network may be made here: only where there is none that it could be in the way of. */
function isSandbox(): boolean {
  return Object.keys(networkInterfaces()).every((name) => name === 'lo');
}

t.test('what is seen is compared line by line', async (t) => {
  const pattern = 'ok  a: …\n…\nFAILED  (b)';
  t.ok(seenAs(pattern, 'ok a: 1\r\n\nok    c\n\u001B[31mFAILED (b)\u001B[0m\n'));
  t.ok(seenAs(pattern, 'ok a: 1\nFAILED (b)'), 'no lines are any lines, too');
  t.notOk(seenAs(pattern, 'ok a: 1\nFAILED b'), 'a bracket is a bracket');
  t.notOk(seenAs(pattern, 'ok a: 1\nFAILED (b)\nFAILED (c)'), 'nothing may follow');
  t.notOk(seenAs(pattern, 'so\nok a: 1\nFAILED (b)'), 'nor go before');
  t.ok(seenAs('…\nb', 'a\nb') && seenAs('…\nb', 'b') && seenAs('a\n…', 'a') && seenAs('a\n…', 'a\nb\nc'));
  t.notOk(seenAs('…\nb', 'ab'));
  t.ok(beginsAs('a\nb', 'a\nb\nc') && !beginsAs('a\nb', 'a\nbc'));
  t.throws(() => blocksOf('## Walk\n```sh\nls\n```\n', 'Walk'), /line 2: nothing says on which machine/);
  t.throws(() => blocksOf('## Walk\n```sh on=a stay\nls\n```\n', 'Walk'), /nothing is known of "stay"/);
});

e2e(t, 'the walk through the README', PROGRAMS, async (t, rig) => {
  if (!isSandbox()) throw new Error('it needs a network namespace of its own, as npm run test:e2e makes one');
  const blocks = blocksOf(readFileSync(README, 'utf8'), 'Walk through');
  const world = await createWorld(rig, { addresses: ADDRESSES, runtimes: NODES, images: IMAGES });
  const before = await eachEtc(world);
  for (const block of blocks) {
    const on = /^npm .*$/.test(block.commands) ? block.on.slice(0, 1) : block.on;
    await Promise.all(on.map((name) => step(t, world, block, world.machines.get(name)!)));
    if (!t.passing()) return;
  }
  const { has, sent } = world.hub;
  t.ok(sent >= has && sent < has * MOST_COPIES, `Docker Hub answered with ${sent} bytes of blobs, and has ${has}`);
  t.same(await eachEtc(world), before, 'the /etc of each machine is as it was');
  for (const machine of world.machines.values()) {
    const left = await machine.must('ls -A /root; find /var/lib /var/log -name "*hawker*"');
    t.notMatch(left, /hawker|join-secret/, `nothing is left on ${machine.name}`);
  }
});

/** One block on one machine: what is seen must be what the page says. */
async function step(t: Test, { clone }: World, block: Block, machine: Machine): Promise<void> {
  const { line, stays, again, fails, afterCtrlC, shows } = block;
  const own = (text: string) => text.replaceAll(ADDRESSES['node-a'], block.on.length > 1 ? machine.address : '$&');
  const what = `README.md:${line} on ${machine.name}: ${plainLines(block.commands)[0]}`;
  if (afterCtrlC) await machine.ctrlC();
  if (stays) {
    const terminal = await machine.stay(own(block.commands));
    await terminal.ready(what, LOOK_BOUND_MS, () => beginsAs(own(shows!), terminal.log()));
    t.pass(what);
    return;
  }
  const start = performance.now();
  let said = '';
  let status: number | null = null;
  const look = async () => {
    const { code, stdout, stderr } = await machine.run(
      own(block.commands),
      machine.name === 'supernode' ? clone : '/root',
    );
    [said, status] = [stdout + stderr, code];
    return (code === 0) === !fails && (shows === undefined || seenAs(own(shows), said));
  };
  if (again) await until(what, LOOK_BOUND_MS, look).catch(() => undefined);
  else await look();
  t.comment(`${what} (${Math.round(performance.now() - start)} ms, status ${status})\n${said}`);
  t.equal(status === 0, !fails, `${what}: status ${status}`);
  if (shows !== undefined && !seenAs(own(shows), said)) t.equal(said, own(shows), `${what}: what is seen`);
}

async function eachEtc({ machines }: World): Promise<Record<string, string>> {
  const entries = [...machines].map(async ([name, machine]) => [name, await machine.etc()] as const);
  return Object.fromEntries(await Promise.all(entries));
}
