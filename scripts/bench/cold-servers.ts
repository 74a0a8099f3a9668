import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { quiet, type Bench, type Server } from './bench-rig.ts';
import { pull } from './curl.ts';
import type { Contender, Sample } from './measure.ts';
import { OURS } from './measure.ts';
import { HawkerNode } from './node.ts';
import { Nginx } from './nginx.ts';
import { blobPath, type Blob } from './registry-data.ts';
import { Registry } from './registry.ts';

export const PULL_THROUGH = 'docker-registry pull-through';
export const NGINX_CACHE = 'nginx proxy_cache';

/** What stands between a client and the origin at `originUrl`, by name: each starts with nothing of it. */
export const COLD_SERVERS: Readonly<Record<string, (bench: Bench, originUrl: string) => Promise<Server>>> = {
  [OURS]: (bench, originUrl) => HawkerNode.start(bench, { name: OURS, originUrl }),
  [PULL_THROUGH]: ({ rig }, remoteUrl) =>
    emptyAfter(join(rig.dir, 'pull-through'), (dir) => Registry.start(rig, { name: 'pull-through', dir, remoteUrl })),
  [NGINX_CACHE]: ({ rig }, originUrl) =>
    emptyAfter(join(rig.dir, 'nginx-cache-data'), (dir) => Nginx.cache(rig, { name: 'nginx-cache', dir, originUrl })),
};

/**
 * Contenders that are started anew for every run, with nothing in their stores. Before the measured work each gets `warmUp` once, so
 * that code is compiled and connections stand, as where it has been up for weeks; and then nothing happens for a moment.
 */
export function coldContenders(
  bench: Bench,
  names: readonly string[],
  { origin, warmUp }: { origin: Server; warmUp: readonly Blob[] },
  measure: (server: Server) => Promise<Sample>,
): Contender[] {
  return names.map((name) => ({
    name,
    once: async () => {
      const server = await COLD_SERVERS[name]!(bench, origin.url);
      try {
        for (const { digest, size } of warmUp) await pull(server.url + blobPath(digest), size);
        await quiet([server.daemon, origin.daemon]);
        return await measure(server);
      } finally {
        await quiet([server.daemon, origin.daemon]);
        await server.stop();
      }
    },
  }));
}

async function emptyAfter(dir: string, start: (dir: string) => Promise<Server>): Promise<Server> {
  const server = await start(dir);
  const stop = async () => {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  };
  return { url: server.url, daemon: server.daemon, stop };
}
