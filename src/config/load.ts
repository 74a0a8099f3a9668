import { parseSize, parseTime } from '../base/units.ts';
import type { Config } from './config.ts';
import { defaultStoreDir, type Account } from './defaults.ts';
import { parseAddress } from './formats.ts';
import { fileLayer, flagLayers, mergeLayers, variableLayers } from './layers.ts';
import { applyRules, type ConfigWarning } from './rules.ts';
import type { Settings } from './schema.ts';

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
  const warnings = await applyRules(merged);
  return { config: deepFreeze(toConfig(merged.settings, sources)), warnings };
}

/** Texts become numbers and addresses; the checks have made sure that they can. */
function toConfig({ proxy, api, store, upstreams, log }: Settings, sources: ConfigSources): Config {
  const dir = store.dir === '' ? defaultStoreDir(sources.account, sources.environment['XDG_DATA_HOME']) : store.dir;
  return {
    proxy: {
      listen: parseAddress(proxy.listen)!,
      listeners: proxy.listeners.map(({ listen, upstream }) => ({ listen: parseAddress(listen)!, upstream })),
      defaultUpstream: proxy.defaultUpstream,
      staleTagsMs: parseTime(proxy.staleTags)!,
    },
    api: { listen: parseAddress(api.listen)! },
    store: {
      dir,
      quotaBytes: parseSize(store.quota)!,
      containerd: store.containerd === '' ? undefined : store.containerd,
    },
    upstreams: Object.fromEntries(
      Object.entries(upstreams).map(([host, settings]) => [host, { insecure: false, allow: [], ...settings }]),
    ),
    log,
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
