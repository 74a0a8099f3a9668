import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { MiB } from '../../src/base/units.ts';
import { within, type Host } from './host.ts';
import { getOn, must, startOn, type Daemon } from './programs.ts';

const PORT = 5000;
const REPOSITORY = 'library/app';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const START_BOUND_MS = 20_000;
const PUSH_BOUND_MS = 600_000;

/** A request for the blob, as the registry's log has it. */
export interface BlobRequest {
  readonly method: string;
  readonly status: number;
  /** Body bytes that it wrote to the socket. */
  readonly written: number;
}

/** docker-registry on a host, with its data in memory. */
export class Registry {
  readonly host: Host;
  readonly #dir: string;
  #daemon: Daemon | undefined;
  #loggedBefore = 0;

  constructor(host: Host, dir: string) {
    this.host = host;
    this.#dir = dir;
  }

  get url(): string {
    return `http://${this.host.address}:${PORT}`;
  }

  get pid(): number {
    return this.#daemon!.pid;
  }

  get logFile(): string {
    return `${this.#dir}.log`;
  }

  /** `remoteUrl`: as a pull-through cache of that registry. */
  async start(remoteUrl?: string): Promise<void> {
    const config = `${this.#dir}.yml`;
    await writeFile(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: this.#dir } },
        http: { addr: `0.0.0.0:${PORT}` },
        ...(remoteUrl !== undefined && { proxy: { remoteurl: remoteUrl } }),
      }),
    );
    const daemon = startOn(this.host, 'docker-registry', ['serve', config], this.logFile);
    this.#daemon = daemon;
    await daemon.ready(
      'GET /v2/',
      START_BOUND_MS,
      async () => (await getOn(this.host, this.#local('/v2/'))) !== undefined,
    );
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** The file of a blob's bytes. */
  fileOf(digest: string): string {
    const hex = digest.slice('sha256:'.length);
    return `${this.#dir}/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  }

  /** An image with one layer of `size` random bytes, pushed over the host's loopback; the layer's digest. */
  async push(size: number): Promise<string> {
    const layerFile = `${this.#dir}.layer`;
    const layer = await writeRandom(layerFile, size);
    const configFile = `${this.#dir}.json`;
    const config = Buffer.from(
      JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer] } }),
    );
    await writeFile(configFile, config);
    const configDigest = digestOf(config);
    await this.#pushBlob(configFile, configDigest);
    await this.#pushBlob(layerFile, layer);
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, digest: configDigest, size: config.length },
      layers: [{ mediaType: LAYER_TYPE, digest: layer, size }],
    };
    await writeFile(configFile, JSON.stringify(manifest));
    await this.#curl([
      '--header',
      `Content-Type: ${MANIFEST_TYPE}`,
      '--upload-file',
      configFile,
      this.#local(`/v2/${REPOSITORY}/manifests/v1`),
    ]);
    await Promise.all([rm(layerFile), rm(configFile)]);
    return layer;
  }

  /** What was asked of this blob since `mark`. */
  async blobRequests(digest: string): Promise<BlobRequest[]> {
    const log = (await readFile(this.logFile, 'utf8')).slice(this.#loggedBefore);
    return blobRequestsIn(log, digest);
  }

  /** What is logged from here on counts. */
  async mark(): Promise<void> {
    this.#loggedBefore = (await readFile(this.logFile, 'utf8')).length;
  }

  async #pushBlob(file: string, digest: string): Promise<void> {
    const start = ['--request', 'POST', '--output', '/dev/null', '--write-out', '%header{location}'];
    const location = await this.#curl([...start, this.#local(`/v2/${REPOSITORY}/blobs/uploads/`)]);
    const target = new URL(location, this.#local('/'));
    target.searchParams.set('digest', digest);
    await this.#curl(['--header', 'Content-Type: application/octet-stream', '--upload-file', file, target.href]);
  }

  #curl(args: readonly string[]): Promise<string> {
    const quiet = ['--silent', '--show-error', '--fail'];
    return must('nsenter', [...within(this.host), 'curl', ...quiet, ...args], { boundMs: PUSH_BOUND_MS });
  }

  #local(path: string): string {
    return `http://127.0.0.1:${PORT}${path}`;
  }
}

export function blobPath(digest: string): string {
  return `/v2/${REPOSITORY}/blobs/${digest}`;
}

/** Requests for a blob in a registry's log, one JSON object a line. */
export function blobRequestsIn(log: string, digest: string): BlobRequest[] {
  const requests: BlobRequest[] = [];
  for (const line of log.split('\n')) {
    if (!line.includes('"http.response.status"') || !line.includes(`/blobs/${digest}"`)) continue;
    const entry = JSON.parse(line) as Record<string, unknown>;
    if (entry['http.response.status'] === undefined) continue;
    requests.push({
      method: String(entry['http.request.method']),
      status: Number(entry['http.response.status']),
      written: Number(entry['http.response.written'] ?? 0),
    });
  }
  return requests;
}

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Writes a file of random bytes; its digest. */
async function writeRandom(path: string, size: number): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'w');
  try {
    for (let left = size; left > 0;) {
      const bytes = randomBytes(Math.min(left, 4 * MiB));
      hash.update(bytes);
      await file.writeFile(bytes);
      left -= bytes.length;
    }
  } finally {
    await file.close();
  }
  return `sha256:${hash.digest('hex')}`;
}
