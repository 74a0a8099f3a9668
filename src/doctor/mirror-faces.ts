import { networkInterfaces } from 'node:os';
import { bareHost } from '../base/bare-host.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, isLoopback, isUnspecified, type Address } from '../config/formats.ts';

/** One address at which this node's mirror answers. */
export interface MirrorFace {
  readonly listen: Address;
  /** The registry of a request that names none. */
  readonly upstream: string;
  /** It serves that registry only. */
  readonly bound: boolean;
  /** It speaks TLS, and plain HTTP not at all. */
  readonly tls: boolean;
  /** It asks for a login: dockerd would send it Docker Hub's. */
  readonly login: boolean;
}

/** An address of a mirror as a runtime's configuration has it. */
export interface NamedMirror {
  readonly scheme: 'http' | 'https';
  readonly address: Address;
  /** Without slashes at its ends. */
  readonly path: string;
}

/** The addresses at which this node's mirror answers, to find out whether a runtime names one of them. */
export class MirrorFaces {
  readonly faces: readonly MirrorFace[];

  constructor({ proxy }: Pick<Config, 'proxy'>) {
    const { listen, login, tls, listeners, defaultUpstream } = proxy;
    const first = { listen, upstream: undefined, login, tls: tls.cert !== undefined };
    this.faces = [first, ...listeners].map(({ upstream, ...face }) => ({
      ...face,
      upstream: upstream ?? defaultUpstream,
      bound: upstream !== undefined,
    }));
  }

  /** The face that an address leads to, from this machine. */
  find({ host, port }: Address): MirrorFace | undefined {
    return this.faces.find(({ listen }) => listen.port === port && isReached(listen.host, host));
  }

  /** The face for clients that cannot name a registry (docker): undefined where none is for `upstream`. */
  plainFor(upstream: string): MirrorFace | undefined {
    return this.faces.find((face) => face.upstream === upstream && !face.login);
  }
}

export function schemeOf({ tls }: MirrorFace): 'http' | 'https' {
  return tls ? 'https' : 'http';
}

/** What a runtime that speaks the other of the two finds there. */
export function speaks({ tls }: MirrorFace): string {
  return tls ? 'the mirror speaks TLS' : 'the mirror speaks plain HTTP';
}

/** `http://host:port` to write into a configuration on this machine. */
export function urlOf(face: MirrorFace): string {
  return `${schemeOf(face)}://${hostPort(face)}`;
}

/** `host:port` to write into a configuration on this machine. */
export function hostPort({ listen }: MirrorFace): string {
  return formatAddress({ ...listen, host: isUnspecified(listen.host) ? '127.0.0.1' : listen.host });
}

/** `http://127.0.0.1:65001/`, `mirror:5000/path` (then with the scheme given); undefined for what is no such thing. */
export function parseMirror(text: string, otherwise: 'http' | 'https'): NamedMirror | undefined {
  const url = /^https?:\/\//i.test(text) ? text : `${otherwise}://${text}`;
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, port, pathname } = new URL(url);
  const scheme = protocol === 'http:' ? 'http' : 'https';
  const host = bareHost(hostname);
  return {
    scheme,
    address: { host, port: port === '' ? (scheme === 'http' ? 80 : 443) : Number(port) },
    path: pathname.replaceAll(/^\/+|\/+$/g, ''),
  };
}

function isReached(listening: string, named: string): boolean {
  if (listening === named) return true;
  if (isUnspecified(listening)) return isLoopback(named) || isOwnAddress(named);
  // `localhost` is 127.0.0.1 or ::1, whichever answers.
  return named === 'localhost'
    ? listening === '127.0.0.1' || listening === '::1'
    : listening === 'localhost' && isLoopback(named);
}

function isOwnAddress(host: string): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host));
}
