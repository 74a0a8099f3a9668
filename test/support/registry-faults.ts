import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a request is about; `cdn`: a blob at the second listener. */
export type RequestKind = 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'cdn' | 'other';

interface StatusFault {
  code: number;
  times: number;
  /** It ends so long after the first request that gets it. */
  forMs?: number;
  /** On the monotonic clock: when that was. */
  since?: number;
  retryAfter?: string;
  body?: string;
}

/** Misbehaviours, settable at any time. What has `times` counts down with each use; `Infinity` is always. */
export class Faults {
  /** Requests that the faults apply to. */
  on: readonly RequestKind[] = ['blob', 'cdn'];
  /** Answer with this status (and JSON error) instead; 429 with `Retry-After` where given (seconds, or an HTTP date). */
  status: StatusFault | undefined;
  /** Send this much of a body, then close the connection: with FIN, or with RST. */
  cut: { bytes: number; times: number; reset?: boolean } | undefined;
  /** Send headers and this much of a body (-1: not even headers), then nothing more, with the connection open. */
  stall: { bytes: number; times: number } | undefined;
  /** Send this much of a body, and until the promise resolves a byte now and then, lest that be a stall. */
  gate: { bytes: number; until: Promise<void> } | undefined;
  /** Take this much of a body for all of it: a proxy between has lost the rest, and says nothing. */
  shorten: { bytes: number; times: number } | undefined;
  /** Invert the byte at this offset of the whole blob. */
  flip: { offset: number; times: number } | undefined;
  /** Close the connection unanswered. */
  drop: { times: number } | undefined;
  /** Close the connection unanswered when a request comes on one that has served before. */
  dropReused: { times: number } | undefined;
  /** Answer 200 with the whole body to a range. */
  ignoreRange = false;
  /** What a 206 says. */
  contentRange: 'right' | 'wrong' | 'missing' = 'right';
  /** No `Content-Length`. */
  chunked = false;
  /** A 206 holds at most so many bytes of the range. */
  maxRange = Infinity;
  /** `Content-Encoding: gzip`, whatever was accepted. */
  gzip = false;
  /** 200 with a web page; so many times (not counting HEAD), then all is well. */
  html = false;
  htmlTimes = Infinity;
  /** `Docker-Content-Digest` on manifests and blobs. */
  digestHeader = true;
  /** `Content-Length` says this much more than is sent (then the connection closes); negative: less. */
  extraLength = 0;
  /** Body bytes a second. */
  bytesPerSecond = Infinity;
  /** Milliseconds before the headers. */
  delayMs = 0;
  /** More response headers. */
  headers: Record<string, string> = {};
  /** Status of HEAD of blobs and manifests, where not the right one. */
  headStatus: number | undefined;
}

/** Uses up one of `times`; false when there is none left. */
export function use(fault: { times: number } | undefined): boolean {
  if (!fault || fault.times <= 0) return false;
  fault.times -= 1;
  return true;
}

/** As `use`, of a status. */
export function useStatus(status: StatusFault): boolean {
  if (status.forMs !== undefined) {
    const now = performance.now();
    status.since ??= now;
    if (now - status.since > status.forMs) return false;
  }
  return use(status);
}

/** Whether a web page goes out, not counting what goes out for HEAD. */
export function useHtml(faults: Faults | undefined, isHead: boolean): boolean {
  if (!faults?.html || faults.htmlTimes <= 0) return false;
  if (!isHead) faults.htmlTimes -= 1;
  return true;
}

const SLICE = 64 * 1024;
/** Between two bytes that come before a gate opens. */
const DRIP_MS = 1000;

/** Sends `body` with the body faults; `sent` is told of bytes as they leave. Resolves when the response is over. */
export async function sendFaulty(
  res: ServerResponse,
  body: Buffer,
  faults: Faults | undefined,
  sent: (bytes: number) => void,
): Promise<void> {
  const cut = faults?.cut && use(faults.cut) ? faults.cut : undefined;
  const stall = faults?.stall && faults.stall.bytes >= 0 && use(faults.stall) ? faults.stall : undefined;
  const limit = Math.min(body.length, cut?.bytes ?? Infinity, stall?.bytes ?? Infinity);
  const rate = faults?.bytesPerSecond ?? Infinity;
  const slice = rate === Infinity ? SLICE : Math.max(1, Math.min(SLICE, Math.ceil(rate / 50)));
  res.flushHeaders();
  const gate = faults?.gate;
  const opened = gate?.until.then(() => true);
  let isOpen = gate === undefined;
  for (let at = 0, size = 0; at < limit; at += size) {
    if (res.destroyed) return;
    if (gate && !isOpen && at >= gate.bytes) isOpen = await Promise.race([opened!, sleep(DRIP_MS, false)]);
    const upTo = isOpen ? at + slice : at < gate!.bytes ? Math.min(gate!.bytes, at + slice) : at + 1;
    const part = body.subarray(at, Math.min(limit, upTo));
    size = part.length;
    await new Promise<void>((resolve) => {
      const done = () => resolve();
      res.once('close', done);
      res.write(part, (error) => {
        res.off('close', done);
        if (!error) sent(part.length);
        resolve();
      });
    });
    if (rate !== Infinity) await sleep((part.length / rate) * 1000);
  }
  if (stall) return;
  if (cut || (faults?.extraLength ?? 0) > 0) {
    if (cut?.reset) res.socket?.resetAndDestroy();
    else res.socket?.destroy();
    return;
  }
  res.end();
}
