import { codedError } from '../../base/errors.ts';
import { REFUSALS, type RefusalCode } from '../protocol/errors.ts';

export const PeerIdUnusable = codedError('PEER_ID_UNUSABLE', {
  message: (p: { path: string; why: string }) => `the peer id in ${p.path} cannot be read or kept: ${p.why}`,
  todo: 'check that this user may read and write the file, and that the disk is not full',
});

export const SupernodeUnresolved = codedError('SUPERNODE_UNRESOLVED', {
  message: (p: { host: string; why: string }) => `the name ${p.host} has no address: ${p.why}`,
  todo: 'check the name in `supernodes` and this node’s DNS (resolv.conf)',
});

export const SupernodeUnreachable = codedError('SUPERNODE_UNREACHABLE', {
  message: (p: { address: string; why: string }) => `no connection to ${p.address}: ${p.why}`,
  todo: 'check that the supernode runs and listens there (supernode.listen), and that no firewall is between',
});

export const SupernodeNotHawker = codedError('SUPERNODE_NOT_HAWKER', {
  message: (p: { address: string; why: string }) => `what answers at ${p.address} is not a Hawker supernode: ${p.why}`,
  todo: 'check the port in `supernodes`, and whether a proxy or load balancer lies between that lets no WebSocket through',
});

export const SupernodeSilent = codedError('SUPERNODE_SILENT', {
  message: (p: { address: string; waitedMs: number; step: string }) =>
    `${p.address} took the connection and said nothing for ${p.waitedMs} ms (waiting for ${p.step})`,
  todo: 'check whether the supernode hangs (its log, its load), or what lies between drops traffic one way',
});

export const SupernodeNotTrusted = codedError('SUPERNODE_NOT_TRUSTED', {
  message: (p: { address: string; why: string }) => `the supernode at ${p.address} is not of this cluster: ${p.why}`,
  todo: 'give both the same join secret (cluster.secretFile), or point `supernodes` to the right one',
});

export const SupernodeLost = codedError('SUPERNODE_LOST', {
  message: (p: { address: string; why: string }) => `the session with ${p.address} has ended: ${p.why}`,
  todo: 'nothing, if it comes back; else check the supernode and the network to it',
});

export const NoSession = codedError('NO_SESSION', {
  message: (p: { supernodes: readonly { url: string; code: string; message: string }[] }) => {
    const reasons = p.supernodes.map(({ url, code, message }) => `${url}${code === '' ? '' : `: ${code}: ${message}`}`);
    return `this proxy has no session with a supernode${reasons.length === 0 ? '' : ` (${reasons.join('; ')})`}`;
  },
  todo: 'mend what the reason names; `hawker status` and `hawker doctor` on this node say more',
});

/** The supernode answered, and said no. Its code says why. */
export class SupernodeRefused extends Error {
  readonly code: string;
  readonly todo: string;

  constructor(refusal: { code: string; message: string; address: string }) {
    super(`the supernode at ${refusal.address} refuses: ${refusal.message}`);
    this.name = refusal.code;
    this.code = refusal.code;
    this.todo = isKnown(refusal.code) ? REFUSALS[refusal.code] : 'see the log of the supernode';
  }
}

function isKnown(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code);
}
