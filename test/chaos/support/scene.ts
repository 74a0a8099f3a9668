import { PROGRAM } from '../../../scripts/support/build-copy.ts';
import { randomFrom } from '../../../scripts/support/random.ts';
import { Hawker, type Role } from '../../e2e/support/hawker.ts';
import { Rig } from '../../e2e/support/rig.ts';
import { Swarm, type SupernodeRun } from '../../e2e/support/swarm.ts';
import { HostileRegistry, makeImage, type TestBlob, type TestImage } from '../../support/hostile-registry.ts';
import { pull, REPOSITORY, type PullOptions } from './pull.ts';

const MiB = 1024 * 1024;
const TAG = 'v1';

/** A registry with one image. */
export interface Origin {
  readonly registry: HostileRegistry;
  readonly image: TestImage;
  /** The first layer of linux/amd64. */
  readonly layer: TestBlob;
}

/** What one row has to itself: a directory, processes of the built program, registries; all of it goes away at its end. */
export class Scene {
  readonly rig: Rig;
  /** Main file of the program that is under test. */
  readonly main: string;
  /** Numbers in [0, 1), the same for the same seed. */
  readonly random: () => number;
  readonly #seed: number;
  #nodes = 0;

  private constructor(rig: Rig, main: string, seed: number) {
    this.rig = rig;
    this.main = main;
    this.#seed = seed;
    this.random = randomFrom(seed);
  }

  static async open({ main = PROGRAM, seed }: { main?: string; seed: number }): Promise<Scene> {
    return new Scene(await Rig.create(), main, seed);
  }

  /** A whole number from `from` on, below `to`. */
  between(from: number, to: number): number {
    return from + Math.floor(this.random() * (to - from));
  }

  /** A registry in this process, with an image whose layers have the given sizes in bytes. */
  async origin(
    options: { layers?: readonly number[]; tls?: { key: string; cert: string }; address?: string } = {},
  ): Promise<Origin> {
    const { layers = [3 * MiB + 17], ...listen } = options;
    const registry = await HostileRegistry.start(listen);
    this.rig.onClose(() => registry.close());
    const image = makeImage({ seed: this.#seed, layers });
    registry.addImage(REPOSITORY, TAG, image);
    return { registry, image, layer: image.layers[0]! };
  }

  /** A proxy, alone unless `role.config` says otherwise, whose registry is at that URL. */
  node(originUrl: string, role: Partial<Role> & { name?: string } = {}): Promise<Hawker> {
    this.#nodes += 1;
    const { name = `node-${this.#nodes}`, command = 'proxy', config, ...more } = role;
    return Hawker.start(this.rig, name, originUrl, {
      command,
      main: this.main,
      ...more,
      config: { supernodes: [], ...config },
    });
  }

  /** A supernode; `join` puts proxies to it. */
  swarm(originUrl: string, how?: SupernodeRun): Promise<Swarm> {
    return Swarm.start(this.rig, originUrl, how?.main ?? this.main, how);
  }

  /** A proxy that has joined, and can be reached; its registry is at that URL. */
  async join(swarm: Swarm, name: string, originUrl: string, role: Partial<Role> = {}): Promise<Hawker> {
    const { config, ...more } = role;
    const member = { supernodes: [swarm.url], cluster: { secretFile: swarm.secretFile } };
    const node = await this.node(originUrl, { name, ...more, config: { ...member, ...config } });
    await swarm.ready(`${name} is ready`, [node]);
    return node;
  }

  /** Reads the manifests as a client does before it pulls blobs. Throws where that does not work: no row is about it. */
  async resolve(node: Hawker, { image }: Pick<Origin, 'image'>): Promise<void> {
    const byTag = await fetch(`${node.url}/v2/${REPOSITORY}/manifests/${TAG}`);
    if (byTag.status !== 200) throw new Error(`the tag cannot be read: ${byTag.status} ${await byTag.text()}`);
    await byTag.arrayBuffer();
    const options: PullOptions = { kind: 'manifests' };
    const got = await pull(node, image.manifests[0]!, options);
    if (got.status !== 200 || got.end !== 'whole') throw new Error(`the manifest cannot be read: ${got.status}`);
  }

  printLogs(): void {
    this.rig.printLogs();
  }

  close(): Promise<void> {
    return this.rig.close();
  }
}
