import type { Config, UpstreamConfig } from '../config/config.ts';
import { defaultSettings } from '../config/defaults.ts';
import { isPattern } from '../config/formats.ts';
import { DOCKER_HUB } from '../registry/reference.ts';

/** The keys of `upstreams`, by what a check can do with them. */
export interface ConfiguredUpstreams {
  /**
   * Somebody has set something for them, or a listener is theirs. Docker Hub is, too, where nothing at all was set: a node that
   * names registries of its own and not Docker Hub may well be without a way to it.
   */
  readonly chosen: readonly string[];
  /** As they are built in: they may be asked, but nobody has said that this node needs them. */
  readonly builtIn: readonly string[];
  readonly patterns: readonly string[];
}

export function configuredUpstreams({ upstreams, proxy }: Pick<Config, 'upstreams' | 'proxy'>): ConfiguredUpstreams {
  const usual = defaultSettings().upstreams;
  const keys = Object.keys(upstreams);
  const names = keys.filter((key) => !isPattern(key));
  const byHand = names.filter((key) => !isAsBuiltIn(upstreams[key]!, usual[key]));
  const meant = new Set([...byHand, ...proxy.listeners.flatMap(({ upstream }) => upstream ?? [])]);
  if (proxy.defaultUpstream !== DOCKER_HUB || byHand.length === 0) meant.add(proxy.defaultUpstream);
  const isChosen = (key: string) => meant.has(key);
  return {
    chosen: names.filter(isChosen),
    builtIn: names.filter((key) => !isChosen(key)),
    patterns: keys.filter((key) => isPattern(key)),
  };
}

/** Whether somebody has set something for an upstream. */
export function isSetByHand(config: Pick<Config, 'upstreams'>, key: string): boolean {
  const upstream = config.upstreams[key];
  return upstream !== undefined && !isAsBuiltIn(upstream, defaultSettings().upstreams[key]);
}

function isAsBuiltIn(upstream: UpstreamConfig, usual: Partial<UpstreamConfig> | undefined): boolean {
  if (!usual) return false;
  const complete = { insecure: false, allow: [], ...usual };
  const keys = new Set([...Object.keys(complete), ...Object.keys(upstream)]) as Set<keyof UpstreamConfig>;
  return [...keys].every((key) => JSON.stringify(upstream[key]) === JSON.stringify(complete[key]));
}
