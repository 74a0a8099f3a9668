import { codeAndTodo, describeError } from '../base/errors.ts';
import { setLogLevel, type Logger } from '../base/log.ts';
import { changedKeys, withKeys } from '../config/changes.ts';
import type { Service } from '../app/service.ts';
import type { Config } from '../config/config.ts';
import type { Concerns } from './config-flags.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';

/** What the process itself takes up, besides what its service does. */
const OWN = 'log.level';

/**
 * Reads the configuration again, applies what can be applied (files that settings name are read again too), and says which changes
 * wait for a restart. A faulty one is reported and changes nothing, a file that cannot be used leaves what it is for as it was. What does not concern this process is left to the others that share the file. Gives what holds from now on.
 */
export async function reloadConfig(
  running: Config,
  service: Pick<Service, 'reload'> | undefined,
  sources: ConfigSources,
  log: Logger,
  concerns: Concerns,
): Promise<Config> {
  try {
    const { config, warnings } = await loadConfig(sources);
    const changed = changedKeys(running, config).filter(concerns);
    setLogLevel(log, config.log.level);
    for (const { code, key, message } of warnings) if (concerns(key)) log.warn({ code, key }, message);
    const taken = await service?.reload(config);
    for (const error of taken?.errors ?? [])
      log.error(codeAndTodo(error), `it stays as it was: ${describeError(error)}`);
    const now = new Set([OWN, ...(taken?.keys ?? [])]);
    const applied = changed.filter((key) => now.has(key));
    log.info({ code: 'CONFIG_RELOADED', keys: applied }, `configuration read again: ${list(applied)} applied`);
    const waiting = changed.filter((key) => !now.has(key));
    if (waiting.length > 0) {
      log.warn(
        { code: 'CONFIG_NEEDS_RESTART', keys: waiting, todo: 'restart it when it suits' },
        `restart Hawker to apply ${list(waiting)}`,
      );
    }
    return withKeys(running, config, now);
  } catch (error) {
    log.error(codeAndTodo(error), `the running configuration stays: ${describeError(error)}`);
    return running;
  }
}

function list(keys: readonly string[]): string {
  return keys.length === 0 ? 'nothing' : keys.join(', ');
}
