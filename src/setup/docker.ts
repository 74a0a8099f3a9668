import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { askDocker } from '../doctor/docker.ts';
import { hostPort, parseMirror, schemeOf, urlOf, type MirrorFaces } from '../doctor/mirror-faces.ts';
import { textOf } from '../doctor/node-files.ts';
import { tableOf } from '../doctor/toml.ts';
import { callSocket } from '../doctor/unix-api.ts';
import { DOCKER_HUB, parseReference } from '../registry/reference.ts';
import { FileInvalid, MirrorAddress, RegistryRefused, SetupConflict } from './errors.ts';
import { readFileWithin } from './files.ts';
import { inOrder, planHosts } from './hosts-files.ts';
import { putFirst } from './json-members.ts';
import { caEdits, caNotes, caOf, certsPath } from './mirror-ca.ts';
import { beyondLoopback, boundFace, facesOf, registriesOf } from './registries.ts';
import type { Activation, Edit, Plan, Pull, Runtime, SetupAround } from './runtime.ts';
import { signalDaemon } from './signal.ts';

const FILE = '/etc/docker/daemon.json';
const HOSTS_DIR = '/etc/docker/certs.d';
const PID_FILE = '/var/run/docker.pid';
/** From here on dockerd reads hosts.toml, where it keeps images in containerd's store (moby 28, daemon/hosts.go). */
const HOSTS_SINCE_MAJOR = 28;
const PULL_BOUND_MS = 120_000;

/** Docker takes Docker Hub's images through `registry-mirrors`; from 28 on, with containerd's image store, others by hosts.toml. */
export const docker: Runtime = {
  plan,
  activation,
  reload: (around) => signalDaemon(around, PID_FILE, 'dockerd'),
  units: ['docker'],
  pull,
};

async function plan(around: SetupAround): Promise<Plan> {
  const faces = facesOf(around);
  const face = boundFace(faces, DOCKER_HUB) ?? faces.plainFor(DOCKER_HUB);
  if (!face) {
    throw new MirrorAddress({
      why: `docker asks a mirror for Docker Hub’s images without naming it, and the mirror takes that for ${faces.faces[0]!.upstream}`,
      todo: 'add { listen: 127.0.0.1:65004, upstream: docker.io } to proxy.listeners, restart the proxy, and run this with its --config',
    });
  }
  const daemon = await askDocker(around);
  const info = daemon.kind === 'info' ? daemon.info : undefined;
  if (info?.rootless === true) {
    throw new SetupConflict({
      path: FILE,
      seen: 'the dockerd that answers is rootless: it reads a file of its user’s, and its 127.0.0.1 is not this node’s',
      todo: 'give the mirror an address that it reaches (proxy.listen), and write registry-mirrors into ~/.config/docker/daemon.json by hand',
    });
  }
  const readsHosts = info?.containerdStore === true && Number.parseInt(info.version, 10) >= HOSTS_SINCE_MAJOR;
  const wanted = registriesOf(around);
  const others = wanted.filter((registry) => registry !== DOCKER_HUB);
  if (!readsHosts && around.registries !== undefined && others.length > 0) {
    throw new RegistryRefused({
      registry: others.join(', '),
      why: 'docker mirrors Docker Hub only',
      todo: `pull its images by a longer name, which reaches the mirror as it is: docker pull ${hostPort(face)}/${others[0]}/REPOSITORY`,
    });
  }
  const insecure = beyondLoopback(face) && !face.tls ? hostPort(face) : undefined;
  // dockerd reads it at each pull (docs.docker.com, “Verify repository client with certificates”).
  const ca = await caEdits(around, face, certsPath(HOSTS_DIR, face));
  const [first] = faces.faces;
  const hostsCa = readsHosts && first !== face ? await caEdits(around, first!, certsPath(HOSTS_DIR, first!)) : [];
  const mirrorCa = caOf(around, first!, certsPath(HOSTS_DIR, first!));
  const edit = await planDaemonFile(around, { faces, url: urlOf(face), insecure });
  const hosts = readsHosts
    ? await planHosts(around, {
        dirs: [HOSTS_DIR],
        registries: wanted,
        faces,
        client: 'docker',
        mirrorCa,
        onlyThere: [DOCKER_HUB],
      })
    : [];
  if (edit) await refuseFlag(around);
  const ordered = await inOrder(around.root, { ca: [...ca, ...hostsCa], hosts, dirs: [HOSTS_DIR] });
  const edits = [...(edit ? [edit] : []), ...ordered];
  return {
    edits,
    notes: [
      ...caNotes(around, face),
      ...(readsHosts
        ? [`dockerd ${info.version} keeps images in containerd’s store: it reads ${HOSTS_DIR} for every registry`]
        : [
            `docker mirrors Docker Hub only; images of other registries come through the mirror by a longer name: docker pull ${hostPort(faces.faces[0]!)}/ghcr.io/OWNER/NAME`,
          ]),
      ...(boundFace(faces, DOCKER_HUB)
        ? []
        : ['private images of Docker Hub go there directly, unless a listener is bound to it (proxy.listeners)']),
    ],
  };
}

async function activation(around: SetupAround, paths: readonly string[]): Promise<Activation> {
  if (!paths.includes(FILE)) return { kind: 'none', command: '', why: 'it is read at each pull' };
  const daemon = await askDocker(around);
  if (daemon.kind !== 'info') {
    return { kind: 'none', command: '', why: `dockerd reads the file when it starts (${daemon.why})` };
  }
  const names = parse((await readFileWithin(around.root, FILE))?.text ?? '');
  // A reload takes up what stands in the file, and leaves what no longer does (moby, daemon/reload.go).
  if (!('registry-mirrors' in names)) {
    const why =
      'dockerd forgets its last mirror only when it is restarted; until then it tries it in vain, and pulls go on';
    return { kind: 'restart', command: 'systemctl restart docker', why };
  }
  const why = 'dockerd reads its mirrors again on SIGHUP; containers go on';
  return { kind: 'reload', command: 'systemctl reload docker', why };
}

async function planDaemonFile(
  { root }: SetupAround,
  { faces, url, insecure }: { faces: MirrorFaces; url: string; insecure: string | undefined },
): Promise<Edit | undefined> {
  const before = (await readFileWithin(root, FILE))?.text;
  const settings = parse(before ?? '');
  const mirrors = textsAt(settings, 'registry-mirrors');
  const insecures = textsAt(settings, 'insecure-registries');
  const wanted: [key: string, value: string][] = [];
  if (!mirrors.some((mirror) => isOurs(mirror, faces))) wanted.push(['registry-mirrors', url]);
  if (insecure !== undefined && !insecures.includes(insecure)) wanted.push(['insecure-registries', insecure]);
  if (wanted.length === 0) return undefined;
  const text = wanted.reduce((edited, [key, value]) => putFirst(edited, key, value), before ?? '');
  const expected = { ...settings };
  for (const [key, value] of wanted) expected[key] = [value, ...textsAt(settings, key)];
  // What is put in touches nothing else, or it is a fault of this program.
  if (!isDeepStrictEqual(parse(text), expected))
    throw new FileInvalid({ path: FILE, why: 'its text was not understood' });
  return { path: FILE, text };
}

function isOurs(mirror: string, faces: MirrorFaces): boolean {
  const named = parseMirror(mirror, 'https');
  const face = named && faces.find(named.address);
  return face !== undefined && named?.scheme === schemeOf(face);
}

/** dockerd takes a file of blanks for none (moby, daemon/config). */
function parse(text: string): Record<string, unknown> {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's message quotes the text, which may hold a proxy's password.
    const position = /position (\d+)/.exec(describeError(error))?.[1];
    const line = position === undefined ? '' : `, line ${text.slice(0, Number(position)).split('\n').length}`;
    throw new FileInvalid({ path: FILE, why: `it is no JSON${line}` });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FileInvalid({ path: FILE, why: 'it is no JSON object' });
  }
  return value as Record<string, unknown>;
}

function textsAt(settings: Readonly<Record<string, unknown>>, key: string): string[] {
  const value = settings[key] ?? [];
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new FileInvalid({ path: FILE, why: `"${key}" is no list of texts` });
}

/** dockerd does not start where flag and file both say something about mirrors. */
async function refuseFlag({ root }: SetupAround): Promise<void> {
  const pid = (await textOf(root, PID_FILE))?.trim() ?? '';
  if (!/^\d+$/.test(pid)) return;
  const words = (await textOf('/', join('/proc', pid, 'cmdline')))?.split('\0') ?? [];
  if (words[0]?.endsWith('dockerd') !== true || !words.some((word) => word.startsWith('--registry-mirror'))) return;
  throw new SetupConflict({
    path: FILE,
    seen: 'dockerd runs with --registry-mirror on its command line, and would not start with registry-mirrors in this file, too',
    todo: 'take that flag out of the unit that starts dockerd (`systemctl cat docker`), restart it, then run this again',
  });
}

async function pull(around: SetupAround, image: string): Promise<Pull | string> {
  const reference = parseReference(image);
  if (reference?.host !== DOCKER_HUB) return `docker mirrors Docker Hub only, and ${image} is not from there`;
  const daemon = await askDocker(around);
  if (daemon.kind !== 'info') return `dockerd was not asked: ${daemon.why}`;
  const { socket } = daemon;
  const name = `${reference.repository}${reference.digest ? `@${reference.digest}` : `:${reference.tag}`}`;
  const call = (method: string, path: string) => callSocket(socket, { method, path, boundMs: PULL_BOUND_MS });
  const known = await call('GET', `/images/${name}/json`);
  if (known.kind === 'silent') return `dockerd was not asked: ${known.why}`;
  const what = reference.digest ?? reference.tag!;
  const query = `fromImage=${encodeURIComponent(reference.repository)}&tag=${encodeURIComponent(what)}`;
  const pulled = await call('POST', `/images/create?${query}`);
  if (pulled.kind === 'silent') return { failure: pulled.why };
  if (known.status === 404) await call('DELETE', `/images/${name}`);
  return { failure: failureIn(pulled.text, pulled.status) };
}

/** The last word of a pull: a line of JSON each, an error among them where it failed. */
function failureIn(text: string, status: number): string | undefined {
  for (const line of text.split('\n').filter(Boolean)) {
    const { error, message } = tableOf(JSON.parse(line));
    if (typeof error === 'string') return error;
    if (status !== 200 && typeof message === 'string') return message;
  }
  return status === 200 ? undefined : `status ${status}`;
}
