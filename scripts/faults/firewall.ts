import type { Host } from '../netns/host.ts';
import { DEVICE } from '../netns/network.ts';
import { runOn } from '../netns/programs.ts';

const BOUND_MS = 30_000;
/** Seconds that iptables waits for another one to be done. */
const LOCK_S = '10';

/** What a rule does to the TCP packets that it is about. */
export interface Block {
  /** DROP: they vanish. REJECT: whoever sent them is told at once (an ICMP message, which connect() gives as "refused"). */
  readonly how: 'DROP' | 'REJECT';
  /** Seen from the host: what comes to it, or what it sends. */
  readonly way: 'INPUT' | 'OUTPUT';
  /** Of the other host; undefined: all. */
  readonly peer?: string;
  /** At this host, or at the other one. */
  readonly ownPort?: number;
  readonly peerPort?: number;
}

/** Arguments of iptables(8) behind `-A` or `-D`. */
export function ruleOf({ how, way, peer, ownPort, peerPort }: Block): string[] {
  const isIn = way === 'INPUT';
  return [
    way,
    // As in most firewalls, what a host says to itself is let through.
    isIn ? '--in-interface' : '--out-interface',
    DEVICE,
    '--protocol',
    'tcp',
    ...(peer === undefined ? [] : [isIn ? '--source' : '--destination', peer]),
    ...(ownPort === undefined ? [] : [isIn ? '--dport' : '--sport', String(ownPort)]),
    ...(peerPort === undefined ? [] : [isIn ? '--sport' : '--dport', String(peerPort)]),
    '--jump',
    how,
  ];
}

/** Puts rules into a host's firewall; gives what takes them out again. */
export async function block(host: Host, ...blocks: readonly Block[]): Promise<() => Promise<void>> {
  for (const one of blocks) await iptables(host, ['--append', ...ruleOf(one)]);
  return async () => {
    for (const one of blocks) await iptables(host, ['--delete', ...ruleOf(one)]);
  };
}

async function iptables(host: Host, args: readonly string[]): Promise<void> {
  const { code, stderr } = await runOn(host, 'iptables', ['--wait', LOCK_S, ...args], BOUND_MS);
  if (code !== 0) throw new Error(`iptables ${args.join(' ')} on ${host.name}: ${stderr.trim()}`);
}
