import type { Config } from './config.ts';
import { defaultStoreDir, type Account } from './defaults.ts';
import { fileLayer, flagLayers, mergeLayers, variableLayers } from './layers.ts';
import { applyRules, type ConfigWarning } from './rules.ts';
import { toConfig } from './to-config.ts';

/** Everything that the configuration depends on; nothing else is looked at. */
export interface ConfigSources {
  /** The file of `--config`; undefined: none. */
  readonly file: string | undefined;
  /** By flag without dashes: `{ 'store-quota': '20GiB' }`. */
  readonly flags: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly account: Account;
  /** The working directory. */
  readonly directory: string;
  /**
   * The files that it names need not be there or readable: for commands that use none of them, and may be run by a user who
   * must not read them.
   */
  readonly withoutFiles?: boolean;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly ConfigWarning[];
}

/**
 * Loads the configuration: flag > `HAWKER_*` variable > file > default, setting by setting. Rejects with an error of
 * errors.ts, which names the key, its place and what is allowed.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const { file, directory } = sources;
  const merged = mergeLayers([
    ...(file === undefined ? [] : [await fileLayer(file, directory)]),
    ...variableLayers(sources.environment, directory),
    ...flagLayers(sources.flags, directory),
  ]);
  const warnings = await applyRules(merged, { withoutFiles: sources.withoutFiles ?? false });
  const config = toConfig(merged.settings, defaultStoreDir(sources.account, sources.environment['XDG_DATA_HOME']));
  return { config, warnings };
}
