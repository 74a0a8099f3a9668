import { DOCKER_HUB } from '../registry/reference.ts';
import { judgeHostsToml, type HostsLook } from './hosts-toml.ts';
import type { MirrorFaces } from './mirror-faces.ts';
import { textOf } from './node-files.ts';

/** From here on dockerd reads hosts.toml, where it keeps images in containerd's store (moby 28, daemon/hosts.go). */
const SINCE_MAJOR = 28;
const FILES = [DOCKER_HUB, '_default'].map((name) => `/etc/docker/certs.d/${name}/hosts.toml`);

/** What a hosts.toml says of docker's pulls from Docker Hub, where it counts before `registry-mirrors`; undefined: there is none. */
export async function dockerHostsToml(
  root: string,
  { version, faces }: { version: string; faces: MirrorFaces },
): Promise<HostsLook | undefined> {
  if (Number.parseInt(version, 10) < SINCE_MAJOR) return undefined;
  for (const path of FILES) {
    const text = await textOf(root, path);
    if (text === undefined) continue;
    return judgeHostsToml(text, { registry: DOCKER_HUB, path, faces, needsHostTable: false, client: 'docker' });
  }
  return undefined;
}
