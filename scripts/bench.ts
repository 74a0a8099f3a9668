/**
 * How fast is it, beside what it replaces? Each case runs Hawker and its rivals in turn on this machine: `npm run bench -- --help`.
 *
 * Every case is run in network, mount and process namespaces of its own, with its data in memory: nothing of the host is touched, and
 * whatever ends this program ends all of it.
 */
import { describeError } from '../src/base/errors.ts';
import { insideTask, runInside, runOutside } from './bench/enclosure.ts';
import { parseOptions, USAGE, type Asked } from './bench/options.ts';
import { report } from './bench/results.ts';
import { BENCH_PACKAGES, installMissing } from './support/install.ts';
import { runScript } from './support/run-script.ts';

async function main(asked: Asked): Promise<number> {
  const inside = insideTask();
  try {
    if (inside) {
      await runInside(inside, asked);
      return 0;
    }
    installMissing(BENCH_PACKAGES, (line) => void process.stderr.write(`bench: ${line}\n`));
    return await report(asked, await runOutside(asked));
  } catch (error) {
    process.stderr.write(`bench: ${describeError(error)}\n`);
    return 1;
  }
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse: parseOptions }, main);
// Inside, this process ends what it has started by its own end.
if (insideTask()) process.exit();
