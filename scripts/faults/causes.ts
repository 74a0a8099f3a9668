import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PROTOCOL_VERSION } from '../../src/app/version.ts';
import { must, PROGRAM, until } from '../netns/programs.ts';
import type { Cause, Cure, Site } from './cause.ts';
import { clockOffset } from './clock.ts';
import type { Zone } from './dns-message.ts';
import { block, type Block } from './firewall.ts';
import { buildOfProtocol } from './other-builds.ts';
import { PIECE_PORT, type Proxy, SUPERNODE_PORT } from './service.ts';
import { TcpRelay, type RelayMode } from './tcp-relay.ts';
import { OWN_ADDRESS, supernodeName } from './world.ts';

const [MAJOR = 0, MINOR = 0] = PROTOCOL_VERSION.split('.').map(Number);
const OTHER_MAJOR = `${MAJOR + 1}.0`;
const OTHER_MINOR = `${MAJOR}.${MINOR + 1}`;
const SLOW_MS = 500;
const TOO_SLOW_MS = 4000;
const HELD_BOUND_MS = 30_000;
/** Of a file system for a store that cannot take a blob of the rig. */
const SMALL_DISK = '1m';

/** Every cause that the rig knows, the supernode's first. */
export const CAUSES: readonly Cause[] = [
  { name: 'none', title: 'Nothing, for comparison', from: 'start', begin: async () => undefined },

  // --- the supernode ---
  {
    name: 'absent',
    title: 'No supernode when the proxy starts',
    cluster: 'own',
    from: 'start',
    begin: async ({ supernode }) => {
      await supernode.stop();
      return () => supernode.launch();
    },
  },
  {
    name: 'killed',
    title: 'Supernode killed (`kill -9`)',
    cluster: 'own',
    from: 'ready',
    begin: async ({ supernode }) => {
      await supernode.kill9();
      return () => supernode.launch();
    },
  },
  {
    name: 'frozen',
    title: 'Supernode frozen (`SIGSTOP`)',
    cluster: 'own',
    from: 'ready',
    frozen: true,
    begin: async ({ supernode }) => {
      supernode.pause();
      return () => supernode.resume();
    },
  },
  {
    name: 'moved',
    title: 'Supernode moved; its name still leads to the old address',
    cluster: 'own',
    from: 'ready',
    begin: async (site) => {
      await site.supernode.stop();
      await site.spare!.start();
      return () => {
        for (const { name } of [site.node, ...site.others])
          site.world.dns.set(supernodeName(name), [site.spare!.host.address]);
        site.current = { supernode: site.spare!, index: 0 };
      };
    },
  },
  {
    name: 'two',
    title: 'First of two supernodes killed: all use the second until the first is found again',
    cluster: 'own',
    from: 'ready',
    prepare: async ({ node, others, spare }) => {
      for (const proxy of [node, ...others]) {
        const named = `http://${supernodeName(proxy.name)}:${SUPERNODE_PORT}`;
        proxy.config = { ...proxy.config, supernodes: [named, spare!.url] };
      }
      await spare!.start();
    },
    begin: async (site) => {
      await site.supernode.kill9();
      site.current = { supernode: site.spare!, index: 1 };
      return async () => {
        await site.supernode.launch();
        site.current = { supernode: site.supernode, index: 0 };
      };
    },
  },
  relayed('half-open', 'Something takes connections at the supernode’s address and never answers', 'half-open'),
  relayed('not-hawker', 'A web server answers at the supernode’s address', 'not-hawker'),
  harmless({ ...relayed('slow', `${SLOW_MS / 1000} s to the supernode, and back`, 'slow', SLOW_MS), from: 'start' }),
  {
    ...relayed('too-slow', `${TOO_SLOW_MS / 1000} s to the supernode, and back`, 'slow', TOO_SLOW_MS),
    // The supernode, too, gives up, and lists it.
    cluster: 'marred',
    variant: true,
  },

  // --- its name ---
  named('nxdomain', 'The supernode’s name does not exist (NXDOMAIN)', async () => 'NXDOMAIN'),
  named('dns-silent', 'The DNS server does not answer', async () => 'silence'),
  {
    name: 'dead-address',
    title: 'The supernode’s name has two addresses, the first dead',
    from: 'start',
    begin: async ({ world, node, supernode }) => {
      world.dns.set(supernodeName(node.name), [await world.deafAddress(), supernode.host.address]);
      return undefined;
    },
  },

  // --- the way to it ---
  filtered('6789-drop', 'Port 6789 towards the supernode: `DROP`', 'ready', ({ supernode }) => [
    { how: 'DROP', way: 'OUTPUT', peer: supernode.host.address, peerPort: SUPERNODE_PORT },
  ]),
  {
    ...filtered('6789-drop-at', 'The same, when the proxy starts', 'start', ({ supernode }) => [
      { how: 'DROP', way: 'OUTPUT', peer: supernode.host.address, peerPort: SUPERNODE_PORT },
    ]),
    variant: true,
  },
  filtered('6789-reject', 'Port 6789 towards the supernode: `REJECT`', 'ready', ({ supernode }) => [
    { how: 'REJECT', way: 'OUTPUT', peer: supernode.host.address, peerPort: SUPERNODE_PORT },
  ]),
  filtered('6789-one-way', 'The supernode’s answers are lost (`DROP` one way)', 'ready', ({ supernode }) => [
    { how: 'DROP', way: 'INPUT', peer: supernode.host.address, peerPort: SUPERNODE_PORT },
  ]),

  // --- the registration ---
  configured('wrong-secret', 'Another join secret', async ({ world, node }) => ({
    cluster: { secretFile: await world.otherSecret(node.name) },
  })),
  configured('no-secret', 'No join secret', async () => ({
    cluster: {},
    // With a piece port that others reach it would not start.
    peer: { listen: `127.0.0.1:${PIECE_PORT}` },
  })),
  {
    name: 'other-major',
    title: `Another major version of the protocol (${OTHER_MAJOR})`,
    cluster: 'marred',
    from: 'start',
    begin: async ({ world, node }) => {
      node.program = await buildOfProtocol(join(world.dir, node.name), OTHER_MAJOR);
      return restarted(node, async () => void (node.program = PROGRAM));
    },
  },
  {
    name: 'other-minor',
    title: `Another minor version of the protocol (${OTHER_MINOR})`,
    from: 'start',
    begin: async ({ world, node }) => {
      node.program = await buildOfProtocol(join(world.dir, node.name), OTHER_MINOR);
      return undefined;
    },
  },
  {
    name: 'copied-id',
    title: 'The store was copied from another node, with its peer id',
    cluster: 'marred',
    from: 'start',
    begin: async ({ node, others }) => {
      const id = 'v1/peer-id';
      await mkdir(join(node.storeDir, 'v1'), { recursive: true, mode: 0o700 });
      await cp(join(others[0]!.storeDir, id), join(node.storeDir, id));
      return restarted(node, () => rm(join(node.storeDir, id)));
    },
  },
  {
    ...configured('no-port', '`peer.advertise` without a port', async ({ node }) =>
      advertising(node, node.host.address),
    ),
    pullElsewhere: true,
  },
  {
    ...configured('unspecified', '`peer.advertise: [0.0.0.0:65002]`', async ({ node }) =>
      advertising(node, `0.0.0.0:${PIECE_PORT}`),
    ),
    pullElsewhere: true,
    variant: true,
  },
  configured('wrong-host', '`peer.advertise` names another node’s address', async ({ node, others }) =>
    advertising(node, `${others[0]!.host.address}:${PIECE_PORT}`),
  ),

  // --- the piece port ---
  filtered('piece-drop', 'Piece port: `DROP`', 'start', () => [{ how: 'DROP', way: 'INPUT', ownPort: PIECE_PORT }]),
  filtered('piece-reject', 'Piece port: `REJECT`', 'start', () => [
    { how: 'REJECT', way: 'INPUT', ownPort: PIECE_PORT },
  ]),
  {
    ...filtered('piece-closes', 'Piece port of a node that was `ready`: `DROP`', 'ready', () => []),
    begin: async ({ node, others, supernode, digest }) => {
      await node.pull(digest);
      await until('the supernode knows who holds it', HELD_BOUND_MS, async () => (await supernode.holders(digest)) > 0);
      const open = await block(node.host, { how: 'DROP', way: 'INPUT', ownPort: PIECE_PORT });
      // Who wants it from there notices, and says so.
      for (const other of others) await other.pull(digest);
      return open;
    },
  },
  harmless(
    filtered('piece-policy', 'Piece port: `DROP` for the supernode alone', 'start', ({ supernode }) => [
      { how: 'DROP', way: 'INPUT', ownPort: PIECE_PORT, peer: supernode.host.address },
    ]),
  ),
  {
    ...harmless(
      filtered('pair', 'Two nodes that cannot reach each other’s piece port', 'ready', ({ others }) => [
        { how: 'DROP', way: 'INPUT', ownPort: PIECE_PORT, peer: others[0]!.host.address },
        { how: 'DROP', way: 'OUTPUT', peerPort: PIECE_PORT, peer: others[0]!.host.address },
      ]),
    ),
    prepare: async ({ others, digest }) => {
      for (const other of others) await other.pull(digest);
    },
  },

  // --- the node ---
  {
    name: 'node-frozen',
    title: 'Proxy frozen (`SIGSTOP`)',
    from: 'ready',
    frozen: true,
    pullElsewhere: true,
    begin: async ({ node }) => {
      node.pause();
      return () => node.resume();
    },
  },
  {
    name: 'node-killed',
    title: 'Proxy killed (`kill -9`)',
    from: 'ready',
    pullElsewhere: true,
    begin: async ({ node }) => {
      await node.kill9();
      return () => node.launch();
    },
  },
  {
    name: 'clock',
    title: 'Clock 1 h ahead',
    from: 'start',
    begin: async ({ node }) => {
      node.env = clockOffset('+1h');
      return undefined;
    },
  },
  {
    name: 'small-disk',
    title: `Disk full (a store on ${SMALL_DISK.replace('m', ' MiB')})`,
    from: 'start',
    begin: async ({ world, node }) => {
      await mkdir(node.storeDir, { recursive: true });
      await must('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK},mode=0700`, 'tmpfs', node.storeDir]);
      world.onClose(async () => void (await must('umount', ['--lazy', node.storeDir])));
      return undefined;
    },
  },
];

function relayed(name: string, title: string, mode: RelayMode, delayMs = 0): Cause {
  const relays = new WeakMap<Site, TcpRelay>();
  return {
    name,
    title,
    from: 'ready',
    prepare: async (site) => {
      const { world, node, supernode } = site;
      const relay = await TcpRelay.start(OWN_ADDRESS, { host: supernode.host.address, port: SUPERNODE_PORT }, delayMs);
      world.onClose(() => relay.close());
      relays.set(site, relay);
      node.config = { ...node.config, supernodes: [relay.url] };
    },
    begin: async (site) => {
      const relay = relays.get(site)!;
      relay.become(mode);
      return () => relay.become('pass');
    },
  };
}

function named(name: string, title: string, zone: () => Promise<Zone>): Cause {
  return {
    name,
    title,
    from: 'start',
    begin: async ({ world, node, supernode }) => {
      world.dns.set(supernodeName(node.name), await zone());
      return () => world.dns.set(supernodeName(node.name), [supernode.host.address]);
    },
  };
}

function filtered(name: string, title: string, from: Cause['from'], rules: (site: Site) => readonly Block[]): Cause {
  return { name, title, from, begin: (site) => block(site.node.host, ...rules(site)) };
}

/** A configuration that is mended, after which the proxy is started again. */
function configured(name: string, title: string, wrong: (site: Site) => Promise<object>): Cause {
  return {
    name,
    title,
    cluster: 'marred',
    from: 'start',
    begin: async (site) => {
      site.node.config = { ...(await wrong(site)) };
      return restarted(site.node, async () => void (site.node.config = {}));
    },
  };
}

function advertising({ host }: Proxy, address: string): object {
  return { peer: { listen: `${host.address}:${PIECE_PORT}`, advertise: [address] } };
}

function restarted(node: Proxy, mend: () => Promise<void>): Cure {
  return async () => {
    await node.stop();
    await mend();
    await node.launch();
  };
}

/** It stays, and everything works. */
function harmless(cause: Cause): Cause {
  return {
    ...cause,
    begin: async (site) => {
      await cause.begin(site);
      return undefined;
    },
  };
}
