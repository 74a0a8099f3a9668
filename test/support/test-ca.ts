import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterTls } from '../../src/p2p/protocol/cluster-tls.ts';
import { readTlsFiles, type TlsFiles } from '../../src/p2p/protocol/tls-files.ts';
import type { Ends } from './registry-client.ts';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const LOOPBACK = 'DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1';

export interface Issuing {
  /** Subject alternative names, as openssl writes them. */
  readonly names?: string;
  /** Negative: it has expired. */
  readonly days?: number;
  readonly usage?: string;
  readonly isCa?: boolean;
}

/** A throw-away CA, made by openssl in a directory that goes with the test. */
export class TestCa {
  readonly #dir: string;
  readonly #name: string;
  readonly #key: string;
  /** Path of its certificate. */
  readonly cert: string;
  #issued = 0;

  static root(t: Ends, name = 'test CA'): TestCa {
    const dir = mkdtempSync(join(tmpdir(), 'hawker-ca-'));
    t.teardown(() => rmSync(dir, { recursive: true, force: true }));
    const [key, cert] = [join(dir, 'ca.key'), join(dir, 'ca.crt')];
    openssl('req', '-x509', ...KEY, '-days', '30', '-subj', `/CN=${name}`, '-keyout', key, '-out', cert);
    return new TestCa(dir, name, key, cert);
  }

  private constructor(dir: string, name: string, key: string, cert: string) {
    this.#dir = dir;
    this.#name = name;
    this.#key = key;
    this.cert = cert;
  }

  /** Files of a node; its key has mode 0600. */
  issue(name: string, options: Issuing = {}): TlsFiles {
    const { names = LOOPBACK, days = 20, usage = 'serverAuth,clientAuth', isCa = false } = options;
    this.#issued += 1;
    const path = (ending: string) => join(this.#dir, `${this.#name} ${this.#issued}.${ending}`);
    const [key, cert, request, extensions] = [path('key'), path('crt'), path('csr'), path('ext')];
    openssl('req', '-new', ...KEY, '-subj', `/CN=${name}`, '-keyout', key, '-out', request);
    const lines = isCa
      ? ['basicConstraints=critical,CA:TRUE']
      : [
          `subjectAltName=${names}`,
          'basicConstraints=CA:FALSE',
          ...(usage === '' ? [] : [`extendedKeyUsage=${usage}`]),
        ];
    writeFileSync(extensions, `${lines.join('\n')}\n`);
    const by = ['-CA', this.cert, '-CAkey', this.#key, '-CAcreateserial', '-days', String(days)];
    openssl('x509', '-req', '-in', request, ...by, '-extfile', extensions, '-out', cert);
    return { cert, key, ca: this.cert };
  }

  /** A CA below this one. */
  below(name: string): TestCa {
    const { cert, key } = this.issue(name, { isCa: true });
    return new TestCa(this.#dir, `${this.#name} ${name}`, key, cert);
  }

  async tls(name: string, options: Issuing = {}): Promise<ClusterTls> {
    return new ClusterTls(await readTlsFiles(this.issue(name, options), Date.now()));
  }
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
