import { basename, resolve } from 'node:path';
import { formatSize } from '../base/units.ts';
import type { Config } from '../config/config.ts';
import { formatAddress } from '../config/formats.ts';
import { UsageWrong } from './errors.ts';
import { DONE } from './exit.ts';
import { loginHeaders, type LoginFlags } from './file-login.ts';
import { FileGetter, type Coming, type Sources } from './get-file.ts';
import { interruptible } from './interrupt.ts';
import { PartFile, sha256OfFile } from './part-file.ts';
import type { ProcessPort } from './process-port.ts';
import { Progress, type Bar } from './progress.ts';
import { sourcesText } from './sources.ts';
import { StreamPart } from './stream-part.ts';
import { printable } from './table.ts';
import { terminalLook } from './terminal.ts';

export interface GetFlags extends LoginFlags {
  /** As it was given; `-`: standard output. */
  readonly output: string;
  /** In lower-case hex. */
  readonly sha256?: string;
  readonly json?: true;
}

/** Fetches one file through the node's proxy; gives the exit status. */
export async function runGet(url: string, flags: GetFlags, config: Config, port: ProcessPort): Promise<number> {
  const { output, sha256, json } = flags;
  const isStream = output === '-';
  if (isStream && json) throw new UsageWrong({ why: '--json and -o - both print', command: 'hawker get' });
  const headers = await loginHeaders(url, flags, port.directory);
  const file = isStream ? 'standard output' : resolve(port.directory, output);
  const startedAt = performance.now();
  const say = (got: Coming & { sha256: string }, isThere: boolean): number => {
    const ms = Math.round(performance.now() - startedAt);
    const { received: bytes, kept, sources, isShared: shared } = got;
    if (isStream) return DONE;
    if (json) {
      port.print(
        `${JSON.stringify({ file, bytes, sha256: got.sha256, kept, sources, shared, alreadyThere: isThere, ms })}\n`,
      );
      return DONE;
    }
    const what = `${printable(output)}  ${formatSize(bytes)}`;
    port.print(
      isThere
        ? `${what}, it is there already\n`
        : `${what} in ${(ms / 1000).toFixed(1)} s: ${sourcesText({ ...sources, kept })}\n`,
    );
    if (!isThere) port.print(`sha256:${got.sha256}\n`);
    if (!shared) port.print(headers ? NOT_SHARED_WITH_LOGIN : NOT_SHARED);
    return DONE;
  };

  if (!isStream && sha256 !== undefined && (await sha256OfFile(file)) === sha256) {
    const { stat } = await import('node:fs/promises');
    const received = (await stat(file)).size;
    const sources: Sources = { store: 0, peers: 0, origin: 0 };
    return say({ size: received, received, kept: received, sources, isShared: true, sha256 }, true);
  }
  const left = isStream
    ? 'what has come is not whole'
    : 'what has come is kept, and the same command goes on from there';
  const { signal, done } = interruptible(port, left);
  const look = json || isStream ? undefined : terminalLook(port);
  const api = `http://${formatAddress(config.api.listen)}`;
  const open = async () =>
    isStream ? new StreamPart((bytes) => port.write(bytes), sha256 !== undefined) : await PartFile.of(file);
  const getter = new FileGetter({ api, url, file, open, headers, sha256, signal, isWatched: look !== undefined });
  const progress = look && new Progress((text) => port.print(text), look);
  try {
    progress?.show(() => [barOf(basename(file), getter.coming)]);
    const got = await getter.get();
    progress?.clear();
    return say(got, false);
  } finally {
    progress?.clear();
    done();
  }
}

const NOT_SHARED =
  'It came straight from its server: that names no strong ETag and size, so other nodes cannot tell whether theirs is the same. --sha256 helps.\n';

const NOT_SHARED_WITH_LOGIN =
  'It came straight from its server, and is kept from other users and nodes: it was asked for with a login. --sha256 lets nodes share it.\n';

function barOf(label: string, { size, received, kept, sources }: Coming): Bar {
  const { store, peers, origin } = sources;
  // What has come and is not yet known from where is drawn as what most is.
  const known = kept + store + peers + origin;
  const rest = Math.max(0, received - known);
  const most = peers > origin ? 'peers' : 'origin';
  const parts = [
    { source: 'store', size: store + kept },
    { source: 'peers', size: peers + (most === 'peers' ? rest : 0) },
    { source: 'origin', size: origin + (most === 'origin' ? rest : 0) },
  ] as const;
  const of = size === undefined ? '' : ` of ${formatSize(size)}`;
  return { label, parts, total: size, note: `${formatSize(received)}${of}` };
}
