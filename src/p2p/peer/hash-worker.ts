/* The thread behind hash-thread.ts: it computes the sums of large blobs, in the order in which their bytes are sent. */
import { parentPort } from 'node:worker_threads';
import type { HashReply, HashRequest } from './hash-thread.ts';
import { LocalSums } from './sums.ts';

const blobs = new Map<number, LocalSums>();

parentPort!.on('message', ({ blob, algorithm, bytes, isNext, stretches }: HashRequest) => {
  if (!bytes) {
    blobs.delete(blob);
    return;
  }
  let sums = blobs.get(blob);
  if (!sums) blobs.set(blob, (sums = new LocalSums(algorithm)));
  const whole = sums.add(bytes, isNext, stretches);
  parentPort!.postMessage({ whole, digest: isNext ? sums.soFar() : undefined } satisfies HashReply);
});
parentPort!.postMessage('ready');
