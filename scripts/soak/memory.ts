import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

const ASK_BOUND_MS = 10_000;

/** Resident memory of a process, in bytes; undefined: it is gone. */
export function residentBytes(pid: number): number | undefined {
  try {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

/** Open descriptors of a process. */
export function descriptorsOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return undefined;
  }
}

/** What a process has on its heap, and in buffers outside it, in bytes, after its garbage was collected: asked of its debugger. */
export async function heapAfterGc(inspector: string): Promise<{ heap: number; buffers: number } | undefined> {
  const socket = new WebSocket(inspector, { handshakeTimeout: ASK_BOUND_MS });
  const answers = new Map<number, (result: unknown) => void>();
  let last = 0;
  const ask = (method: string, params: object = {}): Promise<unknown> => {
    last += 1;
    const id = last;
    socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => answers.set(id, resolve));
  };
  const work = async () => {
    await new Promise<void>((resolve, reject) => socket.once('open', resolve).once('error', reject));
    socket.on('message', (data) => {
      const { id, result } = JSON.parse((data as Buffer).toString()) as { id?: number; result?: unknown };
      if (id !== undefined) answers.get(id)?.(result);
    });
    await ask('HeapProfiler.enable');
    await ask('HeapProfiler.collectGarbage');
    const expression = 'JSON.stringify(process.memoryUsage())';
    const { result } = (await ask('Runtime.evaluate', { expression })) as { result: { value: string } };
    await ask('HeapProfiler.disable');
    const { heapUsed, external } = JSON.parse(result.value) as { heapUsed: number; external: number };
    return { heap: heapUsed, buffers: external };
  };
  const bound = sleep(ASK_BOUND_MS, undefined, { ref: false });
  try {
    return await Promise.race([work(), bound]);
  } catch {
    return undefined;
  } finally {
    socket.terminate();
  }
}
