import fc from 'fast-check';
import t from 'tap';
import {
  acceptClass,
  bareMediaType,
  isHtmlType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  MANIFEST_ACCEPT,
  SINGLE_MANIFEST_ACCEPT,
} from '../../src/registry/media-types.ts';

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

t.test('kinds', async (t) => {
  t.ok(MANIFEST_ACCEPT.split(', ').every(isManifestType));
  t.ok(SINGLE_MANIFEST_ACCEPT.split(', ').every((type) => isManifestType(type) && !isIndexType(type)));
  t.ok(isIndexType(LIST) && isIndexType(OCI_INDEX));
  t.notOk(isManifestType('application/json'));
  t.ok(isSchema1Type('application/vnd.docker.distribution.manifest.v1+prettyjws'));
  t.ok(isSchema1Type('application/vnd.docker.distribution.manifest.v1+json'));
  t.notOk(isSchema1Type('application/vnd.docker.distribution.manifest.v2+json'));
  t.equal(bareMediaType('Text/HTML; charset=utf-8'), 'text/html');
  t.equal(bareMediaType(' '), undefined);
  t.equal(bareMediaType(undefined), undefined);
  t.ok(isHtmlType('text/html') && isHtmlType('application/xhtml+xml') && !isHtmlType(undefined));
});

t.test('what an Accept header allows', async (t) => {
  for (const [header, expected] of [
    [undefined, 'any'],
    ['', 'any'],
    ['*/*', 'any'],
    ['application/*', 'any'],
    ['application/json', 'any'],
    [MANIFEST_ACCEPT, 'any'],
    [SINGLE_MANIFEST_ACCEPT, 'single'],
    [`${OCI_MANIFEST};q=0.5, application/json`, 'single'],
    [`${OCI_MANIFEST}, */*`, 'any'],
    [`${OCI_MANIFEST}, ${OCI_INDEX};q=0`, 'single'],
    [`${OCI_MANIFEST}, ${OCI_INDEX}; q=0.0 , */*;q=0.000`, 'single'],
    [OCI_MANIFEST.toUpperCase(), 'single'],
  ] as const) {
    t.equal(acceptClass(header), expected, String(header));
  }
});

t.test('the order of types makes no difference', async () => {
  const types = [...MANIFEST_ACCEPT.split(', '), 'application/json', '*/*'];
  fc.assert(
    fc.property(fc.shuffledSubarray(types), fc.infiniteStream(fc.nat()), (some, keys) => {
      const other = some.map((type) => [keys.next().value!, type] as const).toSorted((a, b) => a[0] - b[0]);
      return acceptClass(some.join(', ')) === acceptClass(other.map(([, type]) => type).join(','));
    }),
  );
});
