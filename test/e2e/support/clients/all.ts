import type { Hawker } from '../hawker.ts';
import type { Rig } from '../rig.ts';
import type { Client } from './client.ts';
import { containerd } from './containerd.ts';
import { curl } from './curl.ts';
import { docker } from './docker.ts';
import { podman } from './podman.ts';
import { skopeo } from './skopeo.ts';

/** What the origin and its images need. */
export const ORIGIN_PROGRAMS = ['docker-registry', 'umoci', 'tar'];
export const CLIENT_PROGRAMS = ['dockerd', 'containerd', 'ctr', 'podman', 'skopeo', 'curl', 'runc', 'mount'];

/** The five, with their daemons started. */
export async function allClients(rig: Rig, mirror: Hawker): Promise<Client[]> {
  return [
    await docker(rig, mirror),
    await containerd(rig, mirror),
    await podman(rig, mirror),
    skopeo(rig, mirror),
    curl(rig, mirror),
  ];
}
