import { parseSize, parseTime } from '../base/units.ts';
import type { Config } from './config.ts';
import { defaultStoreDir, type Account } from './defaults.ts';
import { formatAddress, isUnspecified, parseAddress, type Address } from './formats.ts';
import { fileLayer, flagLayers, mergeLayers, variableLayers } from './layers.ts';
import { applyRules, hasTls, type ConfigWarning } from './rules.ts';
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
  return { config: deepFreeze(toConfig(merged.settings, sources)), warnings };
}

/** Texts become numbers and addresses; the checks have made sure that they can. */
function toConfig(settings: Settings, sources: ConfigSources): Config {
  const { proxy, peer, api, supernode, cluster, store, upstreams, audit, files, log } = settings;
  const dir = store.dir === '' ? defaultStoreDir(sources.account, sources.environment['XDG_DATA_HOME']) : store.dir;
  return {
    proxy: {
      listen: parseAddress(proxy.listen)!,
      listeners: proxy.listeners.map(({ listen, upstream, login = false, tls = true }) => ({
        listen: parseAddress(listen)!,
        upstream,
        login,
        tls: tls && proxy.tls.cert !== '',
      })),
      defaultUpstream: proxy.defaultUpstream,
      staleTagsMs: parseTime(proxy.staleTags)!,
      names: proxy.names,
      tls: {
        cert: proxy.tls.cert || undefined,
        key: proxy.tls.key || undefined,
        clientCa: proxy.tls.clientCa || undefined,
      },
      usersFile: proxy.usersFile || undefined,
      login: proxy.login,
      rules: proxy.rules,
    },
    peer: {
      listen: parseAddress(peer.listen)!,
      advertise: peer.advertise,
      zone: peer.zone === '' ? undefined : peer.zone,
      uploadBytesPerSecond: toRate(peer.uploadLimit),
      downloadBytesPerSecond: toRate(peer.downloadLimit),
      uploadSlots: Number(peer.uploadSlots),
    },
    api: { listen: parseAddress(api.listen)! },
    supernode: { listen: parseAddress(supernode.listen)!, heartbeatMs: parseTime(supernode.heartbeat)! },
    supernodes: settings.supernodes ?? [nearUrl(parseAddress(supernode.listen)!, hasTls(settings))],
    cluster: {
      secretFile: cluster.secretFile || undefined,
      operatorTokenFile: cluster.operatorTokenFile || undefined,
      ...(hasTls(settings) && { tls: cluster.tls }),
    },
    store: {
      dir,
      quotaBytes: parseSize(store.quota)!,
      containerd: store.containerd === '' ? undefined : store.containerd,
    },
    upstreams: Object.fromEntries(
      Object.entries(upstreams).map(([host, settings]) => [host, { insecure: false, allow: [], ...settings }]),
    ),
    audit: { file: audit.file || undefined },
    files: { allow: files.allow, ca: files.ca || undefined },
    log,
  };
}

/** Where this machine reaches what listens there: the supernode that is meant where nobody names one. */
function nearUrl({ host, port }: Address, isTls: boolean): string {
  const near = isUnspecified(host) ? (host.includes(':') ? '::1' : '127.0.0.1') : host;
  return `${isTls ? 'https' : 'http'}://${formatAddress({ host: near, port })}`;
}

/** Bytes a second; nothing written and zero are no limit. */
function toRate(text: string): number | undefined {
  return parseSize(text) || undefined;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
