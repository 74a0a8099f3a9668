import { stat } from 'node:fs/promises';
import { systemClock, type Clock } from '../base/clock.ts';
import { CodedError, codeAndTodo, codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { formatTime } from '../base/units.ts';
import type { Config } from '../config/config.ts';
import { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import { endOf, nameOf, readAuthorities, readTlsFiles, type TlsFiles } from '../p2p/protocol/tls-files.ts';
import { ClusterTlsTakenAway } from './errors.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Reloads } from './reloads.ts';

/** For commands: what a failed handshake means. */
export { tlsFault } from '../p2p/protocol/cluster-tls.ts';

/** How often the files are looked at: whoever renews certificates need not tell Hawker. */
export const LOOK_MS = 60_000;
/** From so long before its end a certificate is warned of, so often. */
export const ENDS_SOON_MS = 14 * 24 * 3_600_000;
export const WARN_MS = 24 * 3_600_000;

const RENEW =
  'make a new certificate (docs/tls.md) in the place of the old one: it is taken up within a minute, or at once on SIGHUP';

export interface ClusterTlsDeps {
  readonly log: Logger;
  readonly lifecycle: Pick<Lifecycle, 'start'>;
  readonly reloads: Pick<Reloads, 'add'>;
  readonly clock?: Clock;
}

/**
 * The certificates of a service of the cluster: read, and read again when the configuration is or the files have changed. What cannot
 * be used leaves those of before in force. Undefined: there is no TLS within this cluster. Rejects with CLUSTER_TLS_UNUSABLE.
 */
export async function startClusterTls(
  { cluster }: Pick<Config, 'cluster'>,
  { log, lifecycle, reloads, clock = systemClock }: ClusterTlsDeps,
): Promise<ClusterTls | undefined> {
  const files = cluster.tls;
  if (!files) return undefined;
  const watch = await lifecycle.start({
    name: 'certificates',
    start: () => Watch.start(files, { log, clock }),
    stop: async (watch) => watch.stop(),
  });
  reloads.add({
    keys: ['cluster.tls.cert', 'cluster.tls.key', 'cluster.tls.ca'],
    take: ({ cluster: { tls } }) => watch.take(tls),
  });
  return watch.tls;
}

/** The same for a command, which uses it once. Rejects as `startClusterTls`. */
export async function loadClusterTls(
  { cluster }: Pick<Config, 'cluster'>,
  clock: Clock = systemClock,
): Promise<ClusterTls | undefined> {
  return cluster.tls && new ClusterTls(await readTlsFiles(cluster.tls, clock.now()));
}

/** What a command asks a supernode's API with: `tls.connect` takes it. */
export interface ApiTls {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * For a command: undefined where the cluster has no TLS. Where this user may not read the key, the CA alone; an operator has a token.
 * Rejects as `startClusterTls`.
 */
export async function apiTls({ cluster }: Pick<Config, 'cluster'>): Promise<ApiTls | undefined> {
  const files = cluster.tls;
  if (!files) return undefined;
  try {
    const { ca, cert, key } = await readTlsFiles(files, Date.now());
    return { ca, cert, key };
  } catch (error) {
    if (error instanceof CodedError && codeOf(error.cause) === 'EACCES') return { ca: await readAuthorities(files) };
    throw error;
  }
}

class Watch {
  readonly tls: ClusterTls;
  readonly #log: Logger;
  readonly #clock: Clock;
  #files: TlsFiles;
  /** Of the files as they were read, or tried, last. */
  #stamp: string;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => undefined;
  #stopped = false;

  static async start(files: TlsFiles, { log, clock }: { log: Logger; clock: Clock }): Promise<Watch> {
    // Before they are read: what changes meanwhile is seen.
    const stamp = await stampOf(files);
    return new Watch(new ClusterTls(await readTlsFiles(files, clock.now())), { files, stamp, log, clock });
  }

  private constructor(
    tls: ClusterTls,
    { files, stamp, log, clock }: { files: TlsFiles; stamp: string; log: Logger; clock: Clock },
  ) {
    this.tls = tls;
    this.#files = files;
    this.#stamp = stamp;
    this.#log = log;
    this.#clock = clock;
    this.#warnOfEnd();
    this.#lookLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Reads them again, wherever they are now. Rejecting, it has changed nothing. */
  async take(files: TlsFiles | undefined): Promise<void> {
    if (!files) throw new ClusterTlsTakenAway({});
    const stamp = await stampOf(files);
    const material = await readTlsFiles(files, this.#clock.now());
    const isNew = material.cert !== this.tls.material.cert || material.ca !== this.tls.material.ca;
    this.tls.replace(material);
    this.#files = files;
    this.#stamp = stamp;
    if (!isNew) return;
    const { certificate, at } = endOf(material);
    this.#warnedAt = Number.NEGATIVE_INFINITY;
    this.#log.info(
      { code: 'CERTIFICATES_TAKEN', cert: files.cert, until: new Date(at).toISOString() },
      `new certificates are in use; the first to end is ${nameOf(certificate)}`,
    );
    this.#warnOfEnd();
  }

  #lookLater(): void {
    if (!this.#stopped) this.#cancel = this.#clock.after(LOOK_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    const stamp = await stampOf(this.#files);
    if (stamp !== this.#stamp && !this.#stopped) {
      this.#stamp = stamp;
      await this.take(this.#files).catch((error: unknown) => {
        this.#log.error(codeAndTodo(error), `the certificates of before stay in use: ${describeError(error)}`);
      });
    }
    this.#warnOfEnd();
    this.#lookLater();
  }

  #warnOfEnd(): void {
    const { certificate, at } = endOf(this.tls.material);
    const leftMs = at - this.#clock.now();
    const now = this.#clock.monotonic();
    if (leftMs > ENDS_SOON_MS || now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    const until = new Date(at).toISOString();
    const name = nameOf(certificate);
    const what =
      leftMs > 0
        ? `the certificate ${name} ends in ${formatTime(leftMs)}`
        : `the certificate ${name} has ended: other nodes refuse new connections of this one`;
    this.#log.warn({ code: 'CERTIFICATE_ENDS', cert: this.#files.cert, until, todo: RENEW }, what);
  }
}

/** Changes with each of the files: also where a link is turned to another directory, as Kubernetes does. */
async function stampOf({ cert, key, ca }: TlsFiles): Promise<string> {
  const stamps = [cert, key, ca].map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, mode } = await stat(path, { bigint: true });
      return [dev, ino, size, mtimeNs, mode].join();
    } catch (error) {
      return codeOf(error);
    }
  });
  return (await Promise.all(stamps)).join(';');
}
