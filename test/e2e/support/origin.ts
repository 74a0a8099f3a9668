import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { freePort } from './ports.ts';
import type { Rig } from './rig.ts';

const START_BOUND_MS = 20_000;

/** docker-registry, with its data in the rig's directory. */
export class Origin {
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  static async start(rig: Rig): Promise<Origin> {
    const port = await freePort();
    const config = join(rig.dir, 'registry.yml');
    await writeFile(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: await rig.folder('registry') }, delete: { enabled: true } },
        http: { addr: `127.0.0.1:${port}` },
      }),
    );
    const daemon = rig.daemon('docker-registry', 'docker-registry', ['serve', config]);
    const origin = new Origin(`http://127.0.0.1:${port}`);
    await daemon.ready('GET /v2/', START_BOUND_MS, async () => {
      const answer = await fetch(`${origin.url}/v2/`).catch(() => undefined);
      return answer?.ok;
    });
    return origin;
  }

  /** Uploads a file as a blob in one request; its digest. */
  async pushBlob(repository: string, file: string): Promise<string> {
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    const digest = `sha256:${hash.digest('hex')}`;
    const start = await fetch(`${this.url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const target = new URL(start.headers.get('location')!, this.url);
    target.searchParams.set('digest', digest);
    const { size } = await stat(file);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'content-length': size, 'content-type': 'application/octet-stream' };
      const put = request(target, { method: 'PUT', headers, agent: false }, (res) => resolve(res.resume().statusCode));
      pipeline(createReadStream(file), put).catch(reject);
    });
    if (status !== 201) throw new Error(`the registry took ${file} with status ${status}`);
    return digest;
  }

  /** Uploads a manifest or index under a tag; its descriptor. */
  async pushManifest(repository: string, tag: string, manifest: Manifest): Promise<Descriptor> {
    const body = Buffer.from(JSON.stringify(manifest));
    const answer = await fetch(`${this.url}/v2/${repository}/manifests/${tag}`, {
      method: 'PUT',
      headers: { 'content-type': manifest.mediaType },
      body,
    });
    if (answer.status !== 201)
      throw new Error(`the registry took ${tag} with ${answer.status}: ${await answer.text()}`);
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    return { mediaType: manifest.mediaType, digest, size: body.length };
  }
}

/** OCI image spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string; readonly os: string };
}

/** OCI image spec, manifest.md and image-index.md, as far as the tests write them. */
export type Manifest = { readonly schemaVersion: 2; readonly mediaType: string } & (
  | { readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  | { readonly manifests: readonly Descriptor[] }
);
