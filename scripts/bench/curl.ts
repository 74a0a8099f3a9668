import { run } from '../../test/e2e/support/programs.ts';
import { endedChildrenSeconds } from './processes.ts';

const PULL_BOUND_MS = 300_000;
const WRITE_OUT = '%{http_code} %{size_download} %{time_total} %{time_starttransfer}';

export interface Pulled {
  readonly seconds: number;
  readonly firstByteSeconds: number;
  readonly clientCpuSeconds: number;
}

/** curl gets `size` bytes and throws them away. Throws where it gets anything else. */
export async function pull(url: string, size: number): Promise<Pulled> {
  const before = endedChildrenSeconds();
  const { code, stdout, stderr } = await run(
    'curl',
    ['--silent', '--show-error', '--output', '/dev/null', '--write-out', WRITE_OUT, url],
    { boundMs: PULL_BOUND_MS },
  );
  const [status, bytes, seconds, firstByteSeconds] = stdout.split(' ').map(Number);
  if (code !== 0 || status !== 200 || bytes !== size) {
    throw new Error(`curl ended with ${code}, status ${status}, ${bytes} of ${size} bytes of ${url}: ${stderr}`);
  }
  return {
    seconds: seconds!,
    firstByteSeconds: firstByteSeconds!,
    clientCpuSeconds: endedChildrenSeconds() - before,
  };
}

/** Several at the same moment; the seconds until the first and the last of them has all. */
export async function pullAll(
  pulls: readonly { readonly url: string; readonly size: number }[],
): Promise<{ first: number; last: number }> {
  const began = performance.now();
  const ends = await Promise.all(
    pulls.map(({ url, size }) => pull(url, size).then(() => (performance.now() - began) / 1000)),
  );
  return { first: Math.min(...ends), last: Math.max(...ends) };
}
