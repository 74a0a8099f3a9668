const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json';

const INDEX_TYPES = new Set([DOCKER_LIST, OCI_INDEX]);
const SINGLE_TYPES = new Set([OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT]);

/** One manifest for one platform. Registries answer by it with the image for linux/amd64 where a tag names an index. */
export const SINGLE_MANIFEST_ACCEPT = [...SINGLE_TYPES].join(', ');

/**
 * Every type of manifest, in one header. ECR answers 404 and Quay an old schema1 manifest where a type is missing; schema1
 * is left out on purpose, for it is not addressed by the digest of its bytes.
 */
export const MANIFEST_ACCEPT = [OCI_INDEX, DOCKER_LIST, ...SINGLE_TYPES].join(', ');

/** `Content-Type` in lower case without its parameters; undefined where there is none. */
export function bareMediaType(contentType: string | undefined): string | undefined {
  const bare = contentType?.split(';', 1)[0]!.trim().toLowerCase();
  return bare === '' ? undefined : bare;
}

/** Whether a media type is a manifest's: an image's, an index, or an artifact's. */
export function isManifestType(mediaType: string): boolean {
  return SINGLE_TYPES.has(mediaType) || INDEX_TYPES.has(mediaType);
}

export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

/** Docker's first manifest format: signed, its digest is not that of its bytes. Never mirrored. */
export function isSchema1Type(mediaType: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1(?:\+(?:json|prettyjws))?$/.test(mediaType);
}

export function isHtmlType(mediaType: string | undefined): boolean {
  return mediaType === 'text/html' || mediaType === 'application/xhtml+xml';
}

/**
 * What a client's `Accept` allows for a tag: `single` where it names manifest types, but no index and no wildcard. Clients
 * send the types in any order (docker: a random one), so that the header itself is no key.
 */
export function acceptClass(header: string | undefined): 'any' | 'single' {
  const types = (header ?? '')
    .split(',')
    .map((entry) => entry.split(';'))
    .filter(([, ...parameters]) => !parameters.some((p) => /^\s*q=0(?:\.0*)?\s*$/.test(p)))
    .map(([type]) => type!.trim().toLowerCase());
  if (types.some((type) => isIndexType(type) || type === '*/*' || type === 'application/*')) return 'any';
  return types.some((type) => SINGLE_TYPES.has(type)) ? 'single' : 'any';
}
