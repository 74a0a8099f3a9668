import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a load generator is to do. */
export type Job =
  | { readonly kind: 'first bytes'; readonly urls: readonly string[] }
  | {
      readonly kind: 'again';
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly connections: number;
      readonly warmUpMs: number;
      readonly forMs: number;
    };

/** The milliseconds that each answer took. Throws where one was not good. */
export async function load(job: Job): Promise<number[]> {
  const child = fork(fileURLToPath(new URL('load-process.js', import.meta.url)));
  child.send(job);
  const [answer] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => [{ error: 'the load generator has ended' }]),
  ])) as [{ times?: number[]; error?: string }];
  if (answer.times) return answer.times;
  throw new Error(answer.error);
}
