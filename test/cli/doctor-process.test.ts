import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { Finding } from '../../src/doctor/check.ts';
import { peersReady } from '../support/cluster.ts';
import { failures, NO_PUBLIC_REGISTRY, of } from '../support/doctor-rig.ts';
import { closedPort } from '../support/odd-servers.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
/** What depends on the machine that the tests run on, and not on the node under test. */
const OF_THE_MACHINE = /^(?:ORIGIN|STORE|OPEN_FILES|MEMORY|RUNTIME)/;

/** A node's flags: ports of its own, a store of its own. */
async function flagsOf(t: Test): Promise<Record<string, string>> {
  const [mirror, pieces, api, supernode] = await Promise.all(Array.from({ length: 4 }, closedPort));
  return {
    'proxy-listen': `127.0.0.1:${mirror}`,
    'peer-listen': `127.0.0.1:${pieces}`,
    'api-listen': `127.0.0.1:${api}`,
    'supernode-listen': `127.0.0.1:${supernode}`,
    'store-dir': t.testdir({}),
  };
}

/** It ends with this process, however that ends: `main.ts` takes the end of the channel for a SIGTERM. */
function hawker(command: string, flags: Readonly<Record<string, string>>, ...more: string[]): ChildProcess {
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  return spawn(process.execPath, [MAIN, command, ...argv, ...more], {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
    env: { ...process.env, ...NO_PUBLIC_REGISTRY },
  });
}

/** Started, and listening everywhere. */
async function service(t: Test, command: 'up', flags: Readonly<Record<string, string>>) {
  const child = hawker(command, flags);
  t.teardown(() => child.kill('SIGKILL'));
  let log = '';
  for await (const chunk of child.stdout!) {
    log += String(chunk);
    if (log.includes('"role":"supernode"')) break;
  }
  return child;
}

async function doctor(flags: Readonly<Record<string, string>>): Promise<{ status: number; checks: Finding[] }> {
  const child = hawker('doctor', flags, '--json');
  let out = '';
  child.stdout!.on('data', (chunk: Buffer) => (out += chunk.toString()));
  const [status] = (await once(child, 'close')) as [number];
  const { checks } = JSON.parse(out) as { checks: Finding[] };
  return { status, checks: checks.filter(({ code }) => !OF_THE_MACHINE.test(code)) };
}

t.test('beside a healthy `hawker up` all is well; when it hangs, it says so', async (t) => {
  const flags = await flagsOf(t);
  const up = await service(t, 'up', flags);
  const url = `http://${flags['supernode-listen']}`;
  await peersReady(url, 1);
  const well = await doctor(flags);
  t.same(failures(well.checks), []);
  t.match(of(well.checks, 'DIAL_BACK').seen, new RegExp(`has reached ${flags['peer-listen']}`));
  t.match(of(well.checks, 'MIRROR').status, 'ok');

  up.kill('SIGSTOP');
  const stopped = await doctor(flags);
  t.equal(stopped.status, 1);
  t.same(failures(stopped.checks), ['PROXY_API', 'MIRROR', 'PIECE_PORT', 'SUPERNODE_HERE', 'SUPERNODE_HTTP']);
  t.match(of(stopped.checks, 'PROXY_API'), { error: 'SERVICE_HANGS' });
  if (process.platform === 'linux') t.match(of(stopped.checks, 'PROXY_API').seen, `(pid ${up.pid})`);
  t.match(of(stopped.checks, 'SUPERNODE_TCP').status, 'ok', 'the kernel takes connections for it');
  t.match(of(stopped.checks, 'SUPERNODE_HTTP').error, 'SUPERNODE_SILENT');
});
