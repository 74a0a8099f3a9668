import { parseSize, parseTime } from '../base/units.ts';
import type { Config } from './config.ts';
import { formatAddress, nearOf, parseAddress, type Address } from './formats.ts';
import { settingsOf } from './layers.ts';
import { hasTls } from './rules.ts';
import type { Settings, WrittenSettings } from './schema.ts';

/**
 * The defaults, and over them what is `written` as in a file, with absolute paths: for a program that starts services of its own.
 * The rules about files and open ports are not asked. Throws CONFIG_UNKNOWN_KEY, CONFIG_INVALID.
 */
export function configOf(written: WrittenSettings & { readonly store: { readonly dir: string } }): Config {
  return toConfig(settingsOf(written), written.store.dir);
}

/**
 * Texts become numbers and addresses; the checks have made sure that they can. `defaultDir` is the store's where `store.dir` names
 * none.
 */
export function toConfig(settings: Settings, defaultDir: string): Config {
  const { proxy, peer, api, supernode, cluster, store, upstreams, audit, files, log } = settings;
  return deepFreeze({
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
      dir: store.dir || defaultDir,
      quotaBytes: parseSize(store.quota)!,
      containerd: store.containerd === '' ? undefined : store.containerd,
    },
    upstreams: Object.fromEntries(
      Object.entries(upstreams).map(([host, settings]) => [host, { insecure: false, allow: [], ...settings }]),
    ),
    audit: { file: audit.file || undefined },
    files: { allow: files.allow, ca: files.ca || undefined },
    log,
  });
}

/** Where this machine reaches what listens there: the supernode that is meant where nobody names one. */
function nearUrl(address: Address, isTls: boolean): string {
  return `${isTls ? 'https' : 'http'}://${formatAddress(nearOf(address))}`;
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
