/**
 * The registry's certificate is not to be trusted any more. Nothing of it is read then: what is stored is served, everything else is
 * a clean 404, and the log says which certificate is wrong.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { EXPIRED_TLS, OTHER_NAME_TLS, TEST_TLS, UNKNOWN_TLS } from '../support/registry-tls.ts';
import { catalogue } from './support/catalogue.ts';
import { requests, upstreamBy } from './support/claims.ts';
import { wholeFaults } from './support/judge.ts';
import { metricsOf } from './support/metrics.ts';
import { pull } from './support/pull.ts';
import type { Edit } from '../../scripts/support/build-copy.ts';
import type { Row } from './support/row.ts';

const MiB = 1024 * 1024;

function badCertificate(options: {
  name: string;
  fault: string;
  tls: { key: string; cert: string };
  /** What its log must say of it. */
  said: RegExp;
  taken: string;
  edits: Edit[];
}): Row {
  const { name, fault, tls, said, taken, edits } = options;
  return {
    id: `origin/${name}`,
    fault,
    seen: { kind: 'refused', code: 'BLOB_UNAVAILABLE' },
    codes: ['ORIGIN_TLS'],
    moved: [requests('error', 1), requests(200, 0)],
    blamed: upstreamBy('ORIGIN_TLS'),
    without: { taken, edits },
    async run(scene) {
      const trusted = join(scene.rig.dir, 'trusted.pem');
      await writeFile(trusted, [TEST_TLS, EXPIRED_TLS, OTHER_NAME_TLS].map(({ cert }) => cert).join(''));
      const origin = await scene.origin({ tls: TEST_TLS, layers: [MiB, 2 * MiB] });
      const node = await scene.node(origin.registry.url, { upstream: { ca: trusted } });
      await scene.resolve(node, origin);
      const [stored, other] = origin.image.layers;
      await pull(node, stored!);
      origin.registry.useTls(tls);
      const before = await metricsOf(node);
      const pulls = [await pull(node, other!)];
      const faults = wholeFaults({ source: 'store' }, await pull(node, stored!));
      return { node, before, pulls, faults: [...faults, ...(said.test(node.log()) ? [] : [`the log has no ${said}`])] };
    },
  };
}

const UNCHECKED = {
  taken: 'checking the certificate',
  edits: [
    { file: 'http/gated-transport.js', find: 'rejectUnauthorized: !insecure', replace: 'rejectUnauthorized: false' },
  ],
};

catalogue(t, [
  badCertificate({
    name: 'tls-expired',
    fault: 'the certificate has expired; one layer was pulled before',
    tls: EXPIRED_TLS,
    said: /certificate has expired/,
    ...UNCHECKED,
  }),
  badCertificate({
    name: 'tls-wrong-name',
    fault: 'the certificate is for another name; one layer was pulled before',
    tls: OTHER_NAME_TLS,
    said: /ALTNAME|does not match certificate/,
    ...UNCHECKED,
  }),
  badCertificate({
    name: 'tls-unknown-authority',
    fault: 'nobody whom this node trusts has signed the certificate; one layer was pulled before',
    tls: UNKNOWN_TLS,
    said: /self-signed certificate/,
    taken: 'telling a certificate from a network that is down',
    edits: [{ file: 'registry/failures.js', find: 'DEPTH_ZERO_|', replace: '' }],
  }),
]);
