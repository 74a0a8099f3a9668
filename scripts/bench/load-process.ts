/*
 * A load generator in a process of its own, the same for every contender. Its parent sends one job, and gets the milliseconds that
 * each answer took.
 */
import { HttpExchange } from './http-exchange.ts';
import type { Job } from './load.ts';

const fail = (error: Error): void => {
  process.send!({ error: error.message });
  process.exit(1);
};

/** One after the other, each on a new connection: until the first byte of the body. */
async function firstBytes(urls: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (const text of urls) {
    const url = new URL(text);
    const began = performance.now();
    await new Promise<void>((resolve) => {
      const exchange = new HttpExchange(url, fail);
      const done = () => {
        exchange.close();
        resolve();
      };
      exchange.ask(requestFor(url, {}), done, () => times.push(performance.now() - began));
    });
  }
  return times;
}

/** The same again and again on each of `connections`; what `warmUpMs` brings does not count. */
function latencies({
  url: text,
  headers,
  connections,
  warmUpMs,
  forMs,
}: Extract<Job, { kind: 'again' }>): Promise<number[]> {
  const url = new URL(text);
  const request = requestFor(url, headers);
  const times: number[] = [];
  const from = performance.now() + warmUpMs;
  const until = from + forMs;
  let running = connections;
  return new Promise((resolve) => {
    for (let i = 0; i < connections; i += 1) {
      const exchange = new HttpExchange(url, fail);
      const done = (ms: number): void => {
        const now = performance.now();
        if (now > from && now < until) times.push(ms);
        if (now < until) exchange.ask(request, done);
        else {
          exchange.close();
          running -= 1;
          if (running === 0) resolve(times);
        }
      };
      exchange.ask(request, done);
    }
  });
}

function requestFor(url: URL, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n${lines.join('')}\r\n`;
}

process.once('message', (job: Job) => {
  const times = job.kind === 'again' ? latencies(job) : firstBytes(job.urls);
  void times.then((times) => process.send!({ times }, () => process.exit(0)));
});
