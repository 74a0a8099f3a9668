import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../src/base/digest.ts';
import { parseManifest } from '../../src/registry/manifest.ts';
import { makeImage, OCI_INDEX, OCI_MANIFEST } from '../support/registry-images.ts';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

t.test('an image and its index', async (t) => {
  const image = makeImage({ seed: 1, layers: [10, 20] });
  const index = parseManifest(image.index.bytes, OCI_INDEX);
  t.strictSame(
    index.children,
    image.manifests.map((m, i) => ({
      digest: m.digest,
      size: m.bytes.length,
      mediaType: OCI_MANIFEST,
      kind: 'manifest',
      foreign: false,
      platform: { os: 'linux', architecture: ['amd64', 'arm64'][i], variant: '' },
    })),
  );
  const manifest = parseManifest(image.manifests[0]!.bytes, OCI_MANIFEST);
  t.equal(manifest.mediaType, OCI_MANIFEST);
  t.equal(manifest.subject, undefined);
  t.strictSame(
    manifest.children.slice(1).map((c) => [c.digest, c.size, c.kind]),
    image.layers.map((l) => [l.digest, l.bytes.length, 'blob']),
  );
  t.equal(
    parseManifest(image.index.bytes, 'text/plain').mediaType,
    OCI_INDEX,
    'its own word, where the header is no manifest type',
  );
  t.equal(parseManifest(json({}), 'text/plain').mediaType, 'text/plain');
});

t.test('foreign layers, subjects, artifacts', async (t) => {
  const digest = digestOf('x');
  const layers = [
    { digest, size: 1, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
    { digest, size: 1, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' },
    { digest, size: 1, mediaType: 'a', urls: ['https://elsewhere.test/x'] },
    { digest, size: 1, mediaType: 'a', urls: [] },
  ];
  const manifest = parseManifest(json({ layers, subject: { digest } }), OCI_MANIFEST);
  t.strictSame(
    manifest.children.map((c) => c.foreign),
    [true, true, true, false],
  );
  t.equal(manifest.subject, digest);
  const artifact = parseManifest(
    json({ blobs: [{ digest, size: 0 }] }),
    'application/vnd.oci.artifact.manifest.v1+json',
  );
  t.strictSame(artifact.children, [{ digest, size: 0, mediaType: '', kind: 'blob', foreign: false }]);
  t.strictSame(parseManifest(json({ layers }), DOCKER_LIST).children, [], 'an index has no layers');
});

t.test('what is not understood has no children', async (t) => {
  const digest = digestOf('x');
  const bad = [
    { digest: 'sha256:1', size: 1 },
    { digest },
    { digest, size: -1 },
    { digest, size: 1.5 },
    null,
    7,
    'x',
    [],
  ];
  t.strictSame(parseManifest(json({ config: 1, layers: bad, subject: [] }), OCI_MANIFEST).children, []);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.jsonValue().map(json),
        fc.uint8Array().map((b) => Buffer.from(b)),
      ),
      (bytes) => {
        for (const type of [OCI_MANIFEST, OCI_INDEX, 'x']) parseManifest(bytes, type);
        return true;
      },
    ),
  );
});
