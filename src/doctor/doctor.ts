import { describeError } from '../base/errors.ts';
import { formatTime } from '../base/units.ts';
import { withoutUserinfo } from '../base/userinfo.ts';
import type { ConfigSources } from '../config/load.ts';
import { CHECK_MS } from './bounds.ts';
import type { Around, Finding } from './check.ts';
import { CHECKS, type Entry } from './checks.ts';
import { lookAtConfig } from './config-check.ts';
import { CheckFault } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { skipped } from './findings.ts';

/**
 * Examines this node: the configuration first, then all that depends on it, at the same time and each within 30 s. Findings come in
 * the order of the list, as soon as they are known. Never throws for what it may find.
 */
export async function* examine(
  sources: ConfigSources,
  around: Omit<Around, 'config' | 'environment'>,
  entries: readonly Entry[] = CHECKS,
): AsyncGenerator<Finding> {
  const { findings, config } = await lookAtConfig(sources);
  yield* findings.map(withoutSecrets);
  if (!config) {
    for (const about of entries.flatMap(({ finds }) => finds)) yield skipped(about, 'it needs a configuration (above)');
    return;
  }
  const { environment } = sources;
  const running = entries.map((entry) => run(entry, { ...around, environment, config }));
  for (const findings of running) yield* (await findings).map(withoutSecrets);
}

/** What was found in the files of others may name a mirror with a password in its URL. */
function withoutSecrets(finding: Finding): Finding {
  const { title, seen, meaning, todo } = finding;
  return {
    ...finding,
    title: withoutUserinfo(title),
    seen: withoutUserinfo(seen),
    meaning: withoutUserinfo(meaning),
    todo: withoutUserinfo(todo),
  };
}

/** Every check has bounds of its own: one that goes over this, or throws, is at fault itself. */
async function run({ finds, check }: Entry, around: Around): Promise<readonly Finding[]> {
  const over = new AbortController();
  const late = around.clock.sleep(CHECK_MS, over.signal).then(() => {
    throw new Error(`it did not end within ${formatTime(CHECK_MS)}`);
  });
  try {
    return await Promise.race([check(around), late]);
  } catch (error) {
    const fault = new CheckFault({ why: describeError(error) }, { cause: error });
    return finds.map((about) => failedBy(about, fault, 'nothing is known of what it looks at'));
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}
