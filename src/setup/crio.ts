import { join } from 'node:path';
import { socketRefusal } from '../doctor/unix-api.ts';
import { pullByCri } from './crictl.ts';
import { planRegistriesConf } from './registries-conf.ts';
import type { Activation, Plan, Runtime, SetupAround } from './runtime.ts';

const SOCKET = '/var/run/crio/crio.sock';
const ASK_BOUND_MS = 5000;

/** CRI-O reads registries.conf.d, and again on SIGHUP (crio(8), live configuration reload). */
export const crio: Runtime = {
  plan,
  activation,
  units: ['crio'],
  pull: (around, image) => pullByCri(around, image, ['crictl']),
};

async function plan(around: SetupAround): Promise<Plan> {
  const { edits, notes } = await planRegistriesConf(around);
  return { edits, notes: ['podman, buildah and skopeo read the same file', ...notes] };
}

async function activation({ root }: SetupAround): Promise<Activation> {
  const refusal = await socketRefusal(join(root, SOCKET), ASK_BOUND_MS);
  if (refusal !== undefined && refusal !== 'EACCES') {
    return { kind: 'none', command: '', why: 'CRI-O does not run here: it reads the file when it starts' };
  }
  const why = 'CRI-O reads its registries again on SIGHUP; containers go on';
  return { kind: 'reload', command: 'systemctl reload crio', why };
}
