import { join } from 'node:path';
import { hostPort, type MirrorFace } from '../doctor/mirror-faces.ts';
import { readFileWithin } from './files.ts';
import type { MirrorCa } from './hosts-files.ts';
import type { Edit, SetupAround } from './runtime.ts';

/** Beside certificates of the operator's own, which stay: runtimes read every `.crt` of such a directory. */
const NAME = 'hawker-ca.crt';

/** Where docker, podman and CRI-O look for the authorities of a registry, below a directory of theirs (certs.d). */
export function certsPath(dir: string, face: MirrorFace): string {
  return join(dir, hostPort(face), NAME);
}

/** Beside the files of a runtime that is told a path. */
export function caPath(dir: string): string {
  return join(dir, NAME);
}

/** The mirror's authorities in a file of a runtime's, or no such file; nothing where it is so, or nothing is said of them. */
export async function caEdits({ root, mirrorCa }: SetupAround, face: MirrorFace, path: string): Promise<Edit[]> {
  if (mirrorCa === undefined || !face.tls) return [];
  const text = mirrorCa === false ? undefined : mirrorCa;
  const before = await readFileWithin(root, path);
  return before?.text === text ? [] : [{ path, text }];
}

/** What a hosts.toml is to say of that file. */
export function caOf({ mirrorCa }: SetupAround, face: MirrorFace, path: string): MirrorCa | undefined {
  return mirrorCa === undefined || !face.tls ? undefined : { path, trusted: mirrorCa !== false };
}

/** What to know where a mirror speaks TLS, and nobody says whom to trust. */
export function caNotes({ mirrorCa }: SetupAround, face: MirrorFace): string[] {
  if (!face.tls || mirrorCa !== undefined) return [];
  return ['the mirror speaks TLS: where its certificate is of an authority of your own, name that by --mirror-ca FILE'];
}

/** Whether a path is that of such a file: runtimes read it at each pull. */
export function isCaFile(path: string): boolean {
  return path.endsWith(`/${NAME}`);
}
