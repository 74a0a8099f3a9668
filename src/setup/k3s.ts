import { parseDocument } from 'yaml';
import { hostPort, parseMirror, schemeOf, urlOf, type MirrorFaces } from '../doctor/mirror-faces.ts';
import { pullByCri } from './crictl.ts';
import { FileForm, FileInvalid } from './errors.ts';
import { readFileWithin } from './files.ts';
import { dropAuthority, NoPlace, putAuthority, putEndpoints } from './k3s-edit.ts';
import { caEdits, caNotes, caPath } from './mirror-ca.ts';
import { EVERY_REGISTRY, facesOf, patternsOf, registriesOf } from './registries.ts';
import type { Activation, Edit, Plan, Runtime, SetupAround } from './runtime.ts';

const DIR = '/etc/rancher/k3s';
const FILE = `${DIR}/registries.yaml`;

/** k3s makes its containerd's hosts.toml files out of registries.yaml when it starts, and falls back to the registry by itself. */
export const k3s: Runtime = {
  plan,
  activation,
  units: ['k3s', 'k3s-agent'],
  pull: (around, image) => pullByCri(around, image, ['k3s', 'crictl']),
};

async function plan(around: SetupAround): Promise<Plan> {
  const faces = facesOf(around);
  const registries = registriesOf(around);
  const edit = await planFile(around, faces, registries);
  const ca = await caEdits(around, faces.faces[0]!, caPath(DIR));
  const after = edit ? edit.text : (await readFileWithin(around.root, FILE))?.text;
  const isNamed = (path: string) => after?.includes(path) === true;
  const patterns = registries.includes(EVERY_REGISTRY) || around.registries ? [] : patternsOf(around.config);
  return {
    edits: [...(edit ? [edit] : []), ...ca.filter(({ text, path }) => text !== undefined || !isNamed(path))],
    notes: [
      ...caNotes(around, faces.faces[0]!),
      'every node of the cluster has such a file of its own',
      ...(patterns.length === 0
        ? []
        : [
            `the patterns among the upstreams (${patterns.join(', ')}) are not in it: name a registry by --registry, or all of them by --registry '*'`,
          ]),
    ],
  };
}

async function activation({ root }: SetupAround): Promise<Activation> {
  if (root !== '/') return { kind: 'none', command: '', why: 'k3s reads the file when it starts' };
  return {
    kind: 'restart',
    command: 'systemctl restart k3s (on an agent: k3s-agent)',
    why: 'k3s reads the file when it starts; containers go on meanwhile',
  };
}

async function planFile(
  { root, mirrorCa }: SetupAround,
  faces: MirrorFaces,
  registries: readonly string[],
): Promise<Edit | undefined> {
  const before = (await readFileWithin(root, FILE))?.text;
  const document = parseDocument(before ?? '');
  const [fault] = document.errors;
  if (fault) {
    const line = fault.linePos?.[0].line ?? 1;
    throw new FileInvalid({ path: FILE, why: `line ${line} is no YAML: ${fault.code}` });
  }
  const [face] = faces.faces;
  const url = urlOf(face!);
  const isOurs = (endpoint: string) => {
    const named = parseMirror(endpoint, 'https');
    const found = named && faces.find(named.address);
    return found !== undefined && named?.scheme === schemeOf(found);
  };
  try {
    const wishes = registries.map((registry) => ({ registry, url, isOurs }));
    const named = putEndpoints(before ?? '', wishes);
    // Of the mirror itself: k3s looks up what it needs for an endpoint by its host.
    const set = mirrorCa === false ? dropAuthority : putAuthority;
    const isSet = face!.tls && mirrorCa !== undefined;
    const text = isSet ? (set(named ?? before ?? '', hostPort(face!), caPath(DIR)) ?? named) : named;
    return text === undefined ? undefined : { path: FILE, text };
  } catch (error) {
    if (!(error instanceof NoPlace)) throw error;
    const lines = `mirrors: { ${registries.map((registry) => `"${registry}": { endpoint: ["${url}"] }`).join(', ')} }`;
    throw new FileForm({ path: FILE, why: error.message, lines });
  }
}
