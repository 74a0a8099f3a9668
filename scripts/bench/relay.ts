import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A relay in front of a server that makes every byte late by so much, each way, and lets so many MiB a second through. */
export async function delayed(
  url: string,
  { ms, mibPerSecond }: { ms: number; mibPerSecond: number },
): Promise<{ readonly url: string; stop(): void }> {
  const script = fileURLToPath(new URL('relay-process.js', import.meta.url));
  const child = fork(script, [new URL(url).port, String(ms), String(mibPerSecond)]);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}
