import type { Test } from 'tap';
import { basic, REPOSITORY, UPSTREAMS, type Scene } from './scene.ts';

/** What a registry's configuration puts into the memory of a process for as long as that holds: see docs/security.md. */
export const IN_CONFIGURATION = ['password of the egress proxy'];
/** Kept for minutes, for their time of use: test/e2e/heap.test.ts looks when that is over. */
export const IN_USE = [
  'password of the helper',
  'token of a token service',
  "client's password",
  "client's token",
  "malformed client's secret",
  'piece token',
  'signature of a URL',
];
const isWell = (statuses: readonly number[]) => statuses.every((status) => status === 200);

/** A client that asks the token service itself. */
async function tokenOf(scene: Scene, password: string): Promise<string> {
  const { url } = scene.registries.client;
  const answer = await fetch(`${url}/token?service=hostile&scope=repository:${REPOSITORY}:pull`, {
    headers: { authorization: basic('alice', password) },
  });
  const { token } = (await answer.json()) as { token: string };
  scene.markers.add("client's token", token);
  return token;
}

/** Every way of getting in, through one node and through the other, which takes the bytes from the first. */
export async function whatWorks(t: Test, scene: Scene): Promise<void> {
  const token = await tokenOf(scene, scene.passwords.alice);
  for (const [node, authorization] of [basic('alice', scene.passwords.alice), `Bearer ${token}`].entries()) {
    for (const upstream of UPSTREAMS) {
      const headers = upstream === 'client' ? { authorization } : {};
      t.ok(isWell(await scene.pull(upstream, { node, headers })), `${upstream}, through node ${node}`);
      if (node === 0) await scene.held(upstream);
    }
  }
  t.equal(
    (await scene.pull('client', { node: 1 })).every((status) => status === 401),
    true,
    'without it, nothing',
  );
}
