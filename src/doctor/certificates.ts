import { describeError } from '../base/errors.ts';
import { formatTime } from '../base/units.ts';
import { ENDS_SOON_MS } from '../app/cluster-tls.ts';
import type { Config } from '../config/config.ts';
import { endOf, nameOf, readTlsFiles } from '../p2p/protocol/tls-files.ts';
import type { Finding } from './check.ts';
import { CertificateEnds } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped } from './findings.ts';

const NOT_STARTED = 'Hawker does not start with it; one that runs keeps the certificates that it has read before';

/** The files of `cluster.tls`: whether they can be read, fit each other and are valid, and when they end. Nothing where none is set. */
export async function checkCertificates({ cluster: { tls } }: Config, now = Date.now()): Promise<Finding[]> {
  if (!tls) return [];
  const about = { code: 'CERTIFICATES', title: `certificate ${tls.cert}` };
  try {
    const material = await readTlsFiles(tls, now);
    const { certificate, at } = endOf(material);
    const leftMs = at - now;
    const [own] = material.chain;
    const until = new Date(at).toISOString();
    if (leftMs <= ENDS_SOON_MS) {
      const error = new CertificateEnds({ name: nameOf(certificate), until, left: formatTime(leftMs) });
      return [failedBy(about, error, 'once it has ended, other nodes refuse new connections of this one')];
    }
    const path = material.chain.slice(1).map(nameOf).join(', by ');
    const ends = `the first to end is ${nameOf(certificate)}, ${until}`;
    return [ok(about, `${nameOf(own!)}, signed by ${path}; its key fits, and its owner alone can read it; ${ends}`)];
  } catch (error) {
    if (/may not read it/.test(describeError(error))) {
      return [skipped(about, `${describeError(error)}: run doctor as the user that Hawker runs as`)];
    }
    return [failedBy(about, error, NOT_STARTED)];
  }
}
