import type { Role } from '../../e2e/support/hawker.ts';
import { metricsOf } from './metrics.ts';
import { pull, type PullOptions } from './pull.ts';
import type { Evidence } from './row.ts';
import type { Origin, Scene } from './scene.ts';

export interface Strike {
  /** Sizes of the image's layers in bytes; each is pulled, one after the other. */
  readonly layers?: readonly number[];
  readonly role?: Partial<Role>;
  readonly options?: PullOptions;
  /** Breaks the registry, before the layer with that number is pulled. */
  readonly before: (origin: Origin, layer: number) => unknown;
}

/** One node on its own, whose client has the manifests already: the registry is broken, then the layers are pulled. */
export async function strike(scene: Scene, { layers, role, options, before }: Strike): Promise<Evidence & Origin> {
  const origin = await scene.origin(layers && { layers });
  const node = await scene.node(origin.registry.url, role);
  await scene.resolve(node, origin);
  const metrics = await metricsOf(node);
  const pulls = [];
  for (const [index, layer] of origin.image.layers.entries()) {
    await before(origin, index);
    pulls.push(await pull(node, layer, options));
  }
  return { ...origin, node, before: metrics, pulls };
}
