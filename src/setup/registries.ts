import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback, isPattern, standsFor } from '../config/formats.ts';
import { MirrorFaces, type MirrorFace } from '../doctor/mirror-faces.ts';
import { canonicalHost, defaultUrl, isHostLike } from '../registry/reference.ts';
import { MirrorAddress, RegistryRefused } from './errors.ts';
import type { SetupAround } from './runtime.ts';

/** Stands for every registry, where a runtime can say that. */
export const EVERY_REGISTRY = '*';

/** The addresses of the mirror. Throws SETUP_MIRROR_ADDRESS where they change at each start. */
export function facesOf({ config }: Pick<SetupAround, 'config'>): MirrorFaces {
  const faces = new MirrorFaces(config);
  for (const { listen, bound } of faces.faces) {
    if (listen.port !== 0) continue;
    const setting = bound ? 'one of proxy.listeners' : 'proxy.listen';
    throw new MirrorAddress({
      why: `${setting} has port 0, another one at each start`,
      todo: `give ${setting} a port of its own, or name the mirror: --mirror http://127.0.0.1:65001`,
    });
  }
  return faces;
}

/**
 * The registries that are to be set up: those that were named, else each of the allow-list that is a host. Throws
 * SETUP_REGISTRY for one that the mirror would refuse.
 */
export function registriesOf({ config, registries }: Pick<SetupAround, 'config' | 'registries'>): string[] {
  const keys = Object.keys(config.upstreams);
  if (registries === undefined) return keys.filter((key) => !isPattern(key));
  const named = registries.map((text) => (text === EVERY_REGISTRY ? text : canonicalHost(text)));
  for (const registry of named) {
    if (registry === EVERY_REGISTRY) continue;
    if (!isHostLike(registry)) {
      const todo = 'name it as in image names: --registry ghcr.io, --registry registry.example:5000';
      throw new RegistryRefused({ registry, why: 'it is no host', todo });
    }
    if (keys.some((key) => standsFor(key, registry))) continue;
    const todo = `add it to upstreams in Hawker's configuration, and give that here, too: --config FILE`;
    throw new RegistryRefused({ registry, why: 'it is not among the upstreams, so the mirror refuses it', todo });
  }
  return [...new Set(named)];
}

/** The keys of the allow-list that stand for several hosts, which no list of registries can name. */
export function patternsOf({ upstreams }: Pick<Config, 'upstreams'>): string[] {
  return Object.keys(upstreams).filter((key) => isPattern(key));
}

/** The face for a client that sends no name of a registry, or a login only where that is asked for at once: one bound to it goes first. */
export function boundFace(faces: MirrorFaces, registry: string): MirrorFace | undefined {
  return faces.faces.find((face) => face.bound && face.upstream === registry);
}

/** Where pulls of a registry go on when the proxy is down: where Hawker's configuration says that it is. */
export function fallbackOf({ upstreams }: Pick<Config, 'upstreams'>, registry: string): { url: string; ca?: string } {
  const { url, ca } = upstreams[registry] ?? {};
  return { url: url?.replace(/\/$/, '') ?? defaultUrl(registry), ...(ca !== undefined && { ca }) };
}

/** The mirror lies on another machine, or is meant for more than this one. */
export function beyondLoopback({ listen }: MirrorFace): boolean {
  return !isLoopback(listen.host) && !/^[0:.]+$/.test(listen.host);
}

/** What `--mirror` names. */
export interface NamedAddress {
  readonly listen: Config['proxy']['listen'];
  readonly tls: boolean;
}

/** What `--mirror` names, in the place of what the configuration says. */
export function withMirror(config: Config, mirror: NamedAddress | undefined): Config {
  if (mirror === undefined) return config;
  const { listen, tls } = mirror;
  const { proxy } = config;
  if (formatAddress(listen) === formatAddress(proxy.listen) && tls === (proxy.tls.cert !== undefined)) return config;
  // That there is a certificate is what counts here, and not which.
  const cert = tls ? (proxy.tls.cert ?? 'of another machine') : undefined;
  return { ...config, proxy: { ...proxy, listen, listeners: [], tls: { ...proxy.tls, cert } } };
}
