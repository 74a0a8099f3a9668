import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../../src/base/units.ts';
import type { Host } from '../netns/host.ts';
import { Network } from '../netns/network.ts';
import { Registry } from '../netns/origin.ts';
import { block } from './firewall.ts';
import { DnsServer } from './dns-server.ts';
import { Proxy, Supernode, SUPERNODE_PORT } from './service.ts';

/** This process, on the bridge: its DNS server and relays. */
export const OWN_ADDRESS = '10.77.0.1';
/** Three pieces. */
const BLOB_BYTES = 2 * MiB + 12_345;
/** Proxies are at 10.77.1.N, supernodes at 10.77.2.N. */
const MAX_HOSTS = 250;
/** Nearer to the proxies than any supernode, so that the resolver puts it first (RFC 6724 section 5, rule 9). */
const DEAF_ADDRESS = '10.77.1.254';

/** The network, with a registry and DNS, that clusters are put into. */
export class World {
  readonly dir: string;
  readonly dns: DnsServer;
  readonly heartbeat: string;
  readonly #network: Network;
  readonly #secretFile: string;
  readonly #registry: Registry;
  readonly #blobs: string[] = [];
  readonly #services: (Supernode | Proxy)[] = [];
  readonly #closers: (() => Promise<void>)[] = [];
  readonly #hosts = { proxies: 0, supernodes: 0 };
  #deaf: Promise<string> | undefined;

  private constructor(at: {
    dir: string;
    dns: DnsServer;
    network: Network;
    registry: Registry;
    secretFile: string;
    heartbeat: string;
  }) {
    this.dir = at.dir;
    this.dns = at.dns;
    this.heartbeat = at.heartbeat;
    this.#network = at.network;
    this.#registry = at.registry;
    this.#secretFile = at.secretFile;
  }

  /** `blobs`: so many can be pulled. Only inside network and mount namespaces of this process's own. */
  static async create(dir: string, { heartbeat, blobs }: { heartbeat: string; blobs: number }): Promise<World> {
    await mkdir(dir, { recursive: true });
    const network = await Network.create();
    await network.ownAddress(OWN_ADDRESS);
    const dns = await DnsServer.start(OWN_ADDRESS);
    const registry = new Registry(await network.host('origin', '10.77.0.2'), join(dir, 'origin'));
    const secretFile = join(dir, 'join-secret');
    await writeSecret(secretFile);
    await writeFile(join(dir, 'resolv.conf'), `nameserver ${OWN_ADDRESS}\n`);
    const world = new World({ dir, dns, network, registry, secretFile, heartbeat });
    await registry.start();
    for (let i = 0; i < blobs; i += 1) world.#blobs.push(await registry.push(BLOB_BYTES));
    return world;
  }

  /** The digest of a blob that nobody has pulled. */
  blob(): string {
    const digest = this.#blobs.pop();
    if (digest === undefined) throw new Error('there are no more blobs: make the world with more');
    return digest;
  }

  /** Started by whoever asked for it. */
  async supernode(name: string): Promise<Supernode> {
    const { dir, heartbeat } = this;
    const host = await this.#host(name, 'supernodes');
    const supernode = new Supernode({ host, dir, secretFile: this.#secretFile, heartbeat });
    this.#services.push(supernode);
    return supernode;
  }

  /** Its supernode is at a name of its own, which leads to `supernode`. Started by whoever asked for it. */
  async proxy(name: string, supernode: Supernode): Promise<Proxy> {
    const host = await this.#host(name, 'proxies');
    this.dns.set(supernodeName(name), [supernode.host.address]);
    const proxy = new Proxy({
      host,
      dir: this.dir,
      secretFile: this.#secretFile,
      supernode: `http://${supernodeName(name)}:${SUPERNODE_PORT}`,
      originUrl: this.#registry.url,
    });
    this.#services.push(proxy);
    return proxy;
  }

  /** The address of a host that takes no packet. */
  deafAddress(): Promise<string> {
    this.#deaf ??= this.#network.host('deaf', DEAF_ADDRESS).then(async (host) => {
      await block(host, { how: 'DROP', way: 'INPUT' });
      return host.address;
    });
    return this.#deaf;
  }

  /** Called at the end. */
  onClose(closer: () => Promise<void>): void {
    this.#closers.push(closer);
  }

  /** A join secret that is not this cluster's; its file. */
  async otherSecret(name: string): Promise<string> {
    const file = join(this.dir, `${name}-secret`);
    await writeSecret(file);
    return file;
  }

  async close(): Promise<void> {
    await Promise.all(this.#services.map((service) => service.stop()));
    for (const closer of this.#closers) await closer();
    await this.#registry.stop();
    this.dns.close();
    await this.#network.close();
  }

  async #host(name: string, kind: 'proxies' | 'supernodes'): Promise<Host> {
    const number = (this.#hosts[kind] += 1);
    if (number > MAX_HOSTS) throw new Error(`the network has room for ${MAX_HOSTS} ${kind}`);
    const host = await this.#network.host(name, `10.77.${kind === 'proxies' ? 1 : 2}.${number}`);
    return { ...host, resolvConf: join(this.dir, 'resolv.conf') };
  }
}

/** Where a proxy looks for its supernode. */
export const supernodeName = (proxy: string) => `sn-for-${proxy}.test`;

async function writeSecret(file: string): Promise<void> {
  await writeFile(file, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
}
