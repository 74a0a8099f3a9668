/**
 * How good is the swarm on real links? N network namespaces with shaped links, a real registry, a supernode and N proxies:
 * `npm run swarm -- --help`.
 *
 * Everything is inside network, mount and process namespaces of its own (netns/enclosure.ts): nothing of the host is touched, and
 * whatever ends this program ends all of it.
 */
import { describeError } from '../src/base/errors.ts';
import { enclosed, enclosureDir } from './netns/enclosure.ts';
import { missing } from './swarm/needs.ts';
import { parseOptions, USAGE, type Asked } from './swarm/options.ts';
import { runAll } from './swarm/runs.ts';
import { runScript } from './support/run-script.ts';

async function main(asked: Asked): Promise<number> {
  const dir = enclosureDir();
  if (dir === undefined) {
    const reasons = missing(asked);
    for (const reason of reasons) process.stderr.write(`swarm: ${reason}\n`);
    return reasons.length > 0 ? 1 : enclosed(process.argv.slice(2));
  }
  try {
    return await runAll(asked, dir);
  } catch (error) {
    process.stderr.write(`swarm: ${describeError(error)}\n`);
    return 1;
  }
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse: parseOptions }, main);
// Inside, this process is the first of its namespace: with it ends all that it has started.
if (enclosureDir() !== undefined) process.exit();
