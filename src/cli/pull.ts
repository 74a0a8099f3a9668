import { formatSize } from '../base/units.ts';
import type { Config } from '../config/config.ts';
import { formatAddress, nearOf, type Address } from '../config/formats.ts';
import { parseReference } from '../registry/reference.ts';
import { DONE, usageLine, WRONG_USAGE } from './exit.ts';
import { interruptible } from './interrupt.ts';
import { shortDigest } from './names.ts';
import type { ProcessPort } from './process-port.ts';
import { Progress, type Bar } from './progress.ts';
import { ImagePull, type Pulled, type PulledBlob, type PullSource } from './pull-image.ts';
import { sourcesText } from './sources.ts';
import { counted, table } from './table.ts';
import { terminalLook } from './terminal.ts';

export interface PullFlags {
  readonly platform?: string;
  readonly allPlatforms?: true;
  readonly json?: true;
}

const COLUMNS = [
  { title: 'BLOB' },
  { title: 'SIZE', align: 'right' },
  { title: 'SECONDS', align: 'right' },
  { title: 'FROM' },
] as const;

/** Pulls one image into the node's store, through its mirror; gives the exit status. */
export async function runPull(image: string, flags: PullFlags, config: Config, port: ProcessPort): Promise<number> {
  const reference = parseReference(image);
  if (!reference) {
    port.complain(usageLine(`${JSON.stringify(image)} is no name of an image`, 'hawker pull'));
    return WRONG_USAGE;
  }
  const startedAt = performance.now();
  const { signal, done } = interruptible(
    port,
    'what has come stays in the store, and the next pull goes on from there',
  );
  const platform = flags.allPlatforms ? undefined : (flags.platform ?? ownPlatform());
  const pull = new ImagePull({ mirror: mirrorAt(config.proxy.listen), reference, image, platform, signal });
  const look = flags.json ? undefined : terminalLook(port);
  const progress = look && new Progress((text) => port.print(text), look);
  try {
    progress?.show(() => pull.blobs.map(barOf));
    const pulled = await pull.pull();
    progress?.clear();
    const ms = Math.round(performance.now() - startedAt);
    port.print(flags.json ? `${JSON.stringify({ image, ...asJson(pulled, ms) })}\n` : textOf(image, pulled, ms));
    return DONE;
  } finally {
    progress?.clear();
    done();
  }
}

/** As images name it (OCI image index, `platform`): by Go's names for systems and processors. */
export function ownPlatform(arch: string = process.arch): string {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return `linux/${names[arch] ?? arch}`;
}

function mirrorAt(address: Address): string {
  return `http://${formatAddress(nearOf(address))}`;
}

function barOf({ digest, size, received, source = 'origin' }: PulledBlob): Bar {
  const parts = [{ source: source === 'mixed' ? 'peers' : source, size: received }] as const;
  return { label: shortDigest(digest), parts, total: size, note: `${formatSize(received)} of ${formatSize(size)}` };
}

function textOf(image: string, pulled: Pulled, ms: number): string {
  const { blobs, digest, manifests } = pulled;
  const rows = blobs.map((blob) => [
    shortDigest(blob.digest),
    formatSize(blob.size),
    (blob.ms / 1000).toFixed(2),
    blob.source ?? '',
  ]);
  const bytes = bytesOf(pulled);
  const what = `${counted(manifests.length, 'manifest')}, ${counted(blobs.length, 'blob')}, ${formatSize(bytes)}`;
  const list = rows.length > 0 ? table(COLUMNS, rows, { colour: false }) : '';
  return `${list}${image}@${digest}\n${what} in ${(ms / 1000).toFixed(1)} s: ${sourcesText(sourcesOf(blobs))}\n`;
}

function asJson(pulled: Pulled, ms: number): object {
  const { digest, manifests, blobs } = pulled;
  return {
    digest,
    manifests,
    blobs: blobs.map(({ digest, mediaType, size, source, ms }) => ({ digest, mediaType, size, source, ms })),
    bytes: bytesOf(pulled),
    sources: { store: 0, peers: 0, origin: 0, mixed: 0, ...sourcesOf(blobs) },
    ms,
  };
}

function bytesOf({ manifests, blobs }: Pulled): number {
  return [...manifests, ...blobs].reduce((sum, { size }) => sum + size, 0);
}

function sourcesOf(blobs: readonly PulledBlob[]): Partial<Record<PullSource, number>> {
  const sources: Partial<Record<PullSource, number>> = {};
  for (const { source = 'origin', received } of blobs) sources[source] = (sources[source] ?? 0) + received;
  return sources;
}
