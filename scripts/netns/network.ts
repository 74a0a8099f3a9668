import { within, type Host } from './host.ts';
import { must } from './programs.ts';
import { shapingArgs } from './shaping.ts';

const BRIDGE = 'bridge';
/** A host's link. */
export const DEVICE = 'eth0';

/** Network namespaces behind a bridge, which is in the namespace of this process. */
export class Network {
  readonly #hosts: string[] = [];

  static async create(): Promise<Network> {
    await must('ip', ['link', 'add', BRIDGE, 'type', 'bridge']);
    await must('ip', ['link', 'set', BRIDGE, 'up']);
    return new Network();
  }

  /** Gives this process's own namespace an address on the bridge, where it can serve the hosts. */
  async ownAddress(address: string): Promise<void> {
    await must('ip', ['address', 'add', `${address}/16`, 'dev', BRIDGE]);
  }

  /** A host with a link of `rate` bits a second (undefined: as fast as it gets). Its name has 12 characters at most. */
  async host(name: string, address: string, rate?: number): Promise<Host> {
    const port = `to-${name}`;
    await must('ip', ['netns', 'add', name]);
    this.#hosts.push(name);
    await must('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', DEVICE, 'netns', name]);
    await must('ip', ['link', 'set', port, 'master', BRIDGE, 'up']);
    await must('ip', ['-n', name, 'address', 'add', `${address}/16`, 'dev', DEVICE]);
    await must('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    await must('ip', ['-n', name, 'link', 'set', DEVICE, 'up']);
    if (rate !== undefined) {
      await must('tc', shapingArgs(port, rate));
      await must('tc', ['-n', name, ...shapingArgs(DEVICE, rate)]);
    }
    // What one run has learnt about a path must not help the next.
    await must('nsenter', [...within({ name }), 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save']);
    return { name, address };
  }

  /** Removes all of it; what still runs on a host keeps its namespace, without a way out. */
  async close(): Promise<void> {
    for (const name of this.#hosts) {
      await must('ip', ['link', 'delete', `to-${name}`]);
      await must('ip', ['netns', 'delete', name]);
    }
    await must('ip', ['link', 'delete', BRIDGE]);
  }
}

/** Of Ethernet, IPv4, and TCP with timestamps: what is not payload, in each packet that a device counts. */
const HEADER_BYTES = 14 + 20 + 32;

/** What has left by a host's link, all its time. */
export interface Sent {
  /**
   * As the device counts it. A packet is here what the kernel handed down at once: of up to 64 KiB, but as little as two segments where TCP
   * paces a slow flow. So headers are 0.1 % of a fast flow and 2 % of a slow one, and never the 4.6 % that the link carries.
   */
  readonly bytes: number;
  /** The same without headers. */
  readonly payload: number;
  /** Segments among it that TCP has sent again: as its link dropped them or a receiver's did. */
  readonly segmentsAgain: number;
}

export async function sentBy(host: Host): Promise<Sent> {
  const [link] = JSON.parse(await must('ip', ['-n', host.name, '-s', '-j', 'link', 'show', 'dev', DEVICE])) as [
    { stats64: { tx: { bytes: number; packets: number } } },
  ];
  const { bytes, packets } = link.stats64.tx;
  return { bytes, payload: bytes - packets * HEADER_BYTES, segmentsAgain: await retransmitted(host) };
}

/** TCP segments that the host has sent again, but for tries that its own link refused at once. */
async function retransmitted(host: Host): Promise<number> {
  const text = await must('nsenter', [...within(host), 'cat', '/proc/net/snmp', '/proc/net/netstat']);
  return counter(text, 'Tcp', 'RetransSegs') - counter(text, 'TcpExt', 'TCPRetransFail');
}

/** A counter of /proc/net/snmp or netstat: a line of names, and one of values, both behind the protocol's name. */
export function counter(text: string, protocol: string, name: string): number {
  const [names, values] = text
    .split('\n')
    .filter((line) => line.startsWith(`${protocol}:`))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf(name) ?? -1] ?? 0);
}
