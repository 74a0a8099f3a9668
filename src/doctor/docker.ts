import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { isLoopback } from '../config/formats.ts';
import { DOCKER_HUB } from '../registry/reference.ts';
import type { Around } from './check.ts';
import { dockerHostsToml } from './docker-hosts.ts';
import type { Problem } from './findings.ts';
import { MirrorFaces, parseMirror, schemeOf, speaks, urlOf } from './mirror-faces.ts';
import { readNodeFile } from './node-files.ts';
import { findProgram } from './programs.ts';
import { absent, type RuntimeLook } from './runtime-look.ts';
import { tableOf, textsOf, type Table } from './toml.ts';
import { askSocket } from './unix-api.ts';

const BOUND_MS = 5000;
const AROUND = 'docker’s pulls go to Docker Hub, not through this node';

/** What dockerd says of itself (`GET /info`), as far as mirrors go. */
export interface DockerInfo {
  readonly version: string;
  readonly mirrors: readonly string[];
  readonly rootless: boolean;
  readonly containerdStore: boolean;
  readonly httpProxy: string;
  readonly noProxy: string;
}

type DaemonFile =
  | { readonly kind: 'none'; readonly path: string; readonly why: string }
  | { readonly kind: 'bad'; readonly path: string; readonly why: string }
  | { readonly kind: 'mirrors'; readonly path: string; readonly mirrors: readonly string[] };

/** Whether docker on this node takes Docker Hub's images through the mirror: by its file, and by the daemon's own word. */
export async function lookAtDocker(around: Around): Promise<RuntimeLook> {
  const faces = new MirrorFaces(around.config);
  const program = (await findProgram(around, 'dockerd')) ?? (await findProgram(around, 'docker'));
  const daemon = await askDocker(around);
  const file = await readDaemonFile(around);
  if (!program && daemon.kind !== 'info' && file.kind === 'none') {
    return absent('docker', `no dockerd, no docker on the PATH, ${daemon.why}`);
  }
  const info = daemon.kind === 'info' ? daemon.info : undefined;
  const inFile = file.kind === 'mirrors' && namesMirror(faces, file.mirrors);
  const inDaemon = info !== undefined && namesMirror(faces, info.mirrors);
  const hosts =
    info?.containerdStore === true ? await dockerHostsToml(around.root, { version: info.version, faces }) : undefined;
  const seen = [
    file.kind === 'mirrors' ? `${file.path} names ${listed(file.mirrors)}` : `${file.path}: ${file.why}`,
    info
      ? `dockerd ${info.version} runs with ${listed(info.mirrors)}`
      : `the daemon was not asked: ${daemon.kind === 'info' ? '' : daemon.why}`,
    ...(info?.containerdStore === true ? ['it keeps images in containerd’s store'] : []),
    ...(info?.rootless === true ? ['it is rootless: its 127.0.0.1 may be another than this node’s'] : []),
    ...(hosts ? [`hosts.toml counts before registry-mirrors: ${hosts.seen}`] : []),
    'registry-mirrors serve docker.io only',
  ];
  const pointed = hosts ? hosts.state === 'pointed' : info ? inDaemon : inFile;
  return {
    runtime: 'docker',
    seen,
    state: pointed ? 'pointed' : 'elsewhere',
    inUse: info !== undefined,
    problems: [
      ...(hosts?.problem ? [hosts.problem] : []),
      ...fileProblems(file, { inFile, inDaemon, info }),
      ...mirrorProblems(faces, info?.mirrors ?? mirrorsOf(file)),
      ...proxyProblems(faces, info),
    ],
    todo: advice(faces),
  };
}

function mirrorsOf(file: DaemonFile): readonly string[] {
  return file.kind === 'mirrors' ? file.mirrors : [];
}

function listed(mirrors: readonly string[]): string {
  return mirrors.length === 0 ? 'no mirror' : `the mirror${mirrors.length === 1 ? '' : 's'} ${mirrors.join(', ')}`;
}

function advice(faces: MirrorFaces): string {
  const face = faces.plainFor(DOCKER_HUB) ?? faces.faces[0]!;
  return `run \`hawker setup docker\`; or put "registry-mirrors": ["${urlOf(face)}"] into /etc/docker/daemon.json, then systemctl reload docker`;
}

function fileProblems(
  file: DaemonFile,
  { inFile, inDaemon, info }: { inFile: boolean; inDaemon: boolean; info: DockerInfo | undefined },
): Problem[] {
  if (file.kind === 'bad') {
    const meaning = 'dockerd does not start, or not again, with it';
    return [
      {
        seen: `${file.path}: ${file.why}`,
        meaning,
        todo: `mend ${file.path} (dockerd --validate --config-file ${file.path})`,
      },
    ];
  }
  if (!info) return [];
  if (inFile && !inDaemon) {
    return [
      {
        seen: `${file.path} names it, but the running dockerd does not: it has ${listed(info.mirrors)}`,
        meaning: `the file was changed after dockerd started: until it reads it again, ${AROUND}`,
        todo: 'systemctl reload docker (or kill -HUP of dockerd; mirrors need no restart)',
      },
    ];
  }
  return [];
}

/** A mirror that is this node's, but cannot work as it is written. */
function mirrorProblems(faces: MirrorFaces, mirrors: readonly string[]): Problem[] {
  return mirrors.flatMap((text): Problem[] => {
    const named = parseMirror(text, 'https');
    const face = named && faces.find(named.address);
    if (!named || !face) return [];
    if (named.scheme !== schemeOf(face)) {
      const vain = face.tls ? 'plain HTTP' : 'TLS';
      return [
        {
          seen: `it names ${text}, and ${speaks(face)}`,
          meaning: `each pull tries ${vain} in vain: ${AROUND}`,
          todo: `write ${urlOf(face)} instead`,
        },
      ];
    }
    if (face.login) {
      return [
        {
          seen: `it names ${text}, where clients are asked to log in at the mirror`,
          meaning: 'dockerd answers that with its user’s password of Docker Hub, which is nobody’s at the mirror',
          todo: 'name an address of the mirror without login',
        },
      ];
    }
    if (face.upstream !== DOCKER_HUB && (named.path === '' || face.bound)) {
      const right = faces.plainFor(DOCKER_HUB);
      return [
        {
          seen: `it names ${text}, where requests without a registry mean ${face.upstream}`,
          meaning:
            'docker asks mirrors for Docker Hub’s images without naming it: they are looked for in the wrong registry',
          todo: right
            ? `write ${urlOf(right)} instead`
            : `add { listen: 127.0.0.1:65004, upstream: docker.io } to proxy.listeners, and name that address`,
        },
      ];
    }
    return [];
  });
}

/** Go sends nothing for loopback through a proxy (net/http, ProxyFromEnvironment), anything else it does. */
function proxyProblems(faces: MirrorFaces, info: DockerInfo | undefined): Problem[] {
  if (!info || info.httpProxy === '') return [];
  const around = info.mirrors.flatMap((text) => {
    const named = parseMirror(text, 'https');
    const ours = named && named.scheme === 'http' && faces.find(named.address);
    return ours && !isLoopback(named.address.host) && !info.noProxy.includes(named.address.host)
      ? [named.address.host]
      : [];
  });
  return around.map((host) => ({
    seen: `dockerd sends requests for ${host} through its HTTP proxy`,
    meaning: `the mirror is asked by that proxy, which may not reach it: then ${AROUND}`,
    todo: `add ${host} to dockerd’s NO_PROXY (daemon.json: proxies.no-proxy), and restart it`,
  }));
}

function namesMirror(faces: MirrorFaces, mirrors: readonly string[]): boolean {
  return mirrors.some((text) => {
    const named = parseMirror(text, 'https');
    return named !== undefined && faces.find(named.address) !== undefined;
  });
}

async function readDaemonFile({ root, environment }: Around): Promise<DaemonFile> {
  const home = environment['HOME'];
  const own = environment['XDG_CONFIG_HOME'] ?? (home === undefined ? undefined : `${home}/.config`);
  const paths = ['/etc/docker/daemon.json', ...(own === undefined ? [] : [`${own}/docker/daemon.json`])];
  for (const path of paths) {
    const look = await readNodeFile(root, path);
    if (look.kind === 'absent') continue;
    if (look.kind === 'refused') return { kind: 'none', path, why: `it may not be read (${look.why})` };
    try {
      const table = tableOf(JSON.parse(look.text));
      return { kind: 'mirrors', path, mirrors: textsOf(table['registry-mirrors']) ?? [] };
    } catch (error) {
      // The parser's message quotes the text, which may hold a proxy's password.
      const position = /position \d+/.exec(describeError(error))?.[0];
      return { kind: 'bad', path, why: `it is no JSON${position === undefined ? '' : ` (at ${position})`}` };
    }
  }
  return { kind: 'none', path: paths[0]!, why: 'it is not there' };
}

/** What dockerd says of itself, and its socket; or why nobody was asked. */
export type DockerAnswer =
  | { readonly kind: 'info'; readonly info: DockerInfo; readonly socket: string }
  | { readonly kind: 'silent'; readonly why: string };

/** Asks the dockerd of this node. Never rejects. */
export async function askDocker({ root, environment }: Pick<Around, 'root' | 'environment'>): Promise<DockerAnswer> {
  const host = environment['DOCKER_HOST'] ?? '';
  if (host !== '' && !host.startsWith('unix://')) {
    return { kind: 'silent', why: `DOCKER_HOST is ${host}, which is not of this node` };
  }
  const rootless = environment['XDG_RUNTIME_DIR'];
  const paths = [
    ...(host === '' ? [] : [host.slice('unix://'.length)]),
    '/var/run/docker.sock',
    ...(rootless === undefined ? [] : [`${rootless}/docker.sock`]),
  ];
  let why = '';
  for (const path of paths) {
    const socket = join(root, path);
    const answer = await askSocket(socket, '/info', BOUND_MS);
    if (answer.kind === 'answer' && answer.status === 200)
      return { kind: 'info', info: parseInfo(tableOf(answer.body)), socket };
    const said = answer.kind === 'answer' ? `${path} answers with status ${answer.status}` : silence(path, answer.code);
    // What is not there at all says least.
    if (why === '' || answer.kind === 'answer' || answer.code !== 'ENOENT') why = said;
  }
  return { kind: 'silent', why };
}

function silence(path: string, code: string): string {
  if (code === 'ENOENT') return `there is no ${path}`;
  if (code === 'ECONNREFUSED') return `nobody listens on ${path}: dockerd does not run`;
  if (code === 'EACCES') return `this user may not ask ${path}: run this as root`;
  return `${path} does not answer (${code})`;
}

function parseInfo(info: Table): DockerInfo {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const status = Array.isArray(info['DriverStatus']) ? (info['DriverStatus'] as unknown[]) : [];
  return {
    version: text(info['ServerVersion']),
    mirrors: textsOf(tableOf(info['RegistryConfig'])['Mirrors']) ?? [],
    rootless: (textsOf(info['SecurityOptions']) ?? []).some((option) => option.includes('rootless')),
    containerdStore: JSON.stringify(status).includes('io.containerd.snapshotter'),
    httpProxy: text(info['HttpProxy']),
    noProxy: text(info['NoProxy']),
  };
}
