import { CodedError, codedError } from '../../base/errors.ts';
import { REFUSALS, type RefusalCode } from '../protocol/errors.ts';

export const PeerIdUnusable = codedError('PEER_ID_UNUSABLE', {
  message: (p: { path: string; why: string }) => `the peer id in ${p.path} cannot be read or kept: ${p.why}`,
  todo: 'check that it is a file of this user (a symlink is not followed) who may read and write it, and that the disk is not full',
});

/** How far a session got, in the order of its opening; `session`: it was open; `test`: the supernode was to try this proxy's piece port. */
export const STEPS = ['resolve', 'connect', 'tls', 'upgrade', 'challenge', 'welcome', 'session', 'test'] as const;
export type Step = (typeof STEPS)[number];

/** What is waited for at a step, in an operator's words. */
const AWAITED: Readonly<Record<Step, string>> = {
  resolve: 'an address',
  connect: 'the connection',
  tls: 'the TLS handshake',
  upgrade: 'an answer to its HTTP request',
  challenge: "a supernode's first message",
  welcome: 'an answer to its registration',
  session: 'a heartbeat',
  test: 'the test of its piece port',
};

export const SupernodeUnresolved = codedError('SUPERNODE_UNRESOLVED', {
  message: (p: { host: string; why: string }) => `the name ${p.host} has no address: ${p.why}`,
  todo: 'check the name in `supernodes` and this node’s DNS (resolv.conf)',
});

export const SupernodeUnreachable = codedError('SUPERNODE_UNREACHABLE', {
  message: (p: { address: string; why: string }) => `no connection to ${p.address}: ${p.why}`,
  todo: 'check that the supernode runs and listens there (supernode.listen), and that no firewall is between',
});

/** Nothing came back, not even a refusal: packets are dropped. */
export const SupernodeTimeout = codedError('SUPERNODE_TIMEOUT', {
  message: (p: { address: string; waitedMs: number }) =>
    `no connection to ${p.address}: within ${p.waitedMs} ms nothing came back, not even a refusal, as where a firewall drops packets or the machine is off`,
  todo: 'let TCP from this node to that address through (firewall, security group, network policy); check that the machine is up, and the address in `supernodes`',
});

export const SupernodeTls = codedError('SUPERNODE_TLS', {
  message: (p: { address: string; why: string }) => `no TLS session with ${p.address}: ${p.why}`,
  todo: 'check the certificate that answers there (its names, its dates, its CA: cluster.tls.ca, or NODE_EXTRA_CA_CERTS where a load balancer has a certificate of its own), and whether `supernodes` should say http',
});

export const SupernodeNotHawker = codedError('SUPERNODE_NOT_HAWKER', {
  message: (p: { address: string; step: Step; why: string }) =>
    `what answers at ${p.address} is not a Hawker supernode: ${p.why}`,
  todo: 'check the port in `supernodes`, and whether a proxy or load balancer lies between that lets no WebSocket through',
});

/** 502, 503 and 504, as load balancers and service meshes answer for what is behind them. */
export const SupernodeUnavailable = codedError('SUPERNODE_UNAVAILABLE', {
  message: (p: { address: string; status: number }) =>
    `what answers at ${p.address} says HTTP status ${p.status}: a load balancer or mesh with no supernode behind it just now`,
  todo: 'check that the supernode runs and that what lies before it knows it; or give its own address in `supernodes`',
});

/** It took the connection, and then nothing. */
export const SupernodeSilent = codedError('SUPERNODE_SILENT', {
  message: (p: { address: string; waitedMs: number; step: Step }) =>
    `${p.address} took the connection and said nothing for ${p.waitedMs} ms (waiting for ${AWAITED[p.step]})`,
  todo: ({ step }) =>
    step === 'session'
      ? 'check whether the supernode hangs or its machine is gone (its log, its load), or what lies between has begun to drop traffic'
      : step === 'upgrade' || step === 'tls'
        ? 'check whether what listens there is the supernode, and whether it hangs (its log, its load)'
        : 'check whether the supernode hangs (its log, its load), or what lies between holds WebSocket messages back',
});

export const SupernodeNotTrusted = codedError('SUPERNODE_NOT_TRUSTED', {
  message: (p: { address: string; why: string }) => `the supernode at ${p.address} is not of this cluster: ${p.why}`,
  todo: 'give both the same join secret (cluster.secretFile), or point `supernodes` to the right one',
});

/** The connection ended, before or after the session was open. */
export const SupernodeLost = codedError('SUPERNODE_LOST', {
  message: (p: { address: string; why: string; step?: Step }) =>
    p.step === undefined || p.step === 'session'
      ? `the session with ${p.address} has ended: ${p.why}`
      : `${p.address} ended the connection while this proxy waited for ${AWAITED[p.step]}: ${p.why}`,
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
  readonly params: { readonly address: string; readonly step: Step };

  constructor(refusal: { code: string; message: string; address: string; step?: Step }) {
    super(`the supernode at ${refusal.address} refuses: ${refusal.message}`);
    this.name = refusal.code;
    this.code = refusal.code;
    this.todo = isKnown(refusal.code) ? REFUSALS[refusal.code] : 'see the log of the supernode';
    this.params = { address: refusal.address, step: refusal.step ?? 'session' };
  }
}

function isKnown(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code);
}

/** At which step it failed; undefined: it is no error of a session. */
export function stepOf(error: unknown): Step | undefined {
  if (error instanceof SupernodeUnresolved) return 'resolve';
  if (error instanceof SupernodeUnreachable || error instanceof SupernodeTimeout) return 'connect';
  if (error instanceof SupernodeTls) return 'tls';
  if (error instanceof SupernodeUnavailable) return 'upgrade';
  if (error instanceof SupernodeNotTrusted) return 'welcome';
  if (error instanceof SupernodeLost) return error.params.step ?? 'session';
  const isOfStep =
    error instanceof SupernodeNotHawker || error instanceof SupernodeSilent || error instanceof SupernodeRefused;
  return isOfStep ? error.params.step : undefined;
}

/** What the operator can do about it. */
export function todoOf(error: unknown): string {
  return error instanceof CodedError || error instanceof SupernodeRefused ? error.todo : '';
}
