import { randomBytes } from 'node:crypto';
import { describeError } from '../base/errors.ts';
import { formatAddress, nearOf } from '../config/formats.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import { NONCE_BYTES, type Membership } from '../p2p/protocol/membership.ts';
import { whoamiBy } from '../p2p/protocol/whoami.ts';
import type { Answer } from './ask.ts';
import type { Around, Finding } from './check.ts';
import { PortTaken } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped } from './findings.ts';
import { holderOf, notThere, PORT_UNKNOWN } from './not-there.ts';
import type { ProxyLook } from './services.ts';

const NO_PIECES = 'other nodes cannot fetch from this one: it is `unreachable` to them, and gives nothing';

/** What this node's own piece port says of itself. */
export interface PiecesLook {
  readonly finding: Finding;
  readonly instance: string | undefined;
}

/** Whether the piece port answers on this machine, as the proxy that runs here. */
export async function lookAtPieces(
  { config, root }: Around,
  proxy: ProxyLook,
  { membership, tls }: { membership: Membership | undefined; tls: ClusterTls | undefined },
): Promise<PiecesLook> {
  const { listen } = config.peer;
  const address = formatAddress(nearOf(listen));
  const about = { code: 'PIECE_PORT', title: `the piece port at ${address} (peer.listen)` };
  const without = (finding: Finding): PiecesLook => ({ finding, instance: undefined });
  if (listen.port === 0) return without(skipped(about, PORT_UNKNOWN));
  if (proxy.status && proxy.status.peer === undefined)
    return without(skipped(about, 'this proxy is alone: it has none'));
  const nonce = randomBytes(NONCE_BYTES).toString('base64url');
  try {
    const { peer, instance, proof } = await whoamiBy(tls)(address, nonce);
    const taken = async (why: string) => new PortTaken({ address, holder: await holderOf(listen, root), why });
    const expected = proxy.status?.peer;
    if (expected !== undefined && peer !== expected) {
      return without(failedBy(about, await taken(`it is peer ${peer}, the proxy here is ${expected}`), NO_PIECES));
    }
    if (membership?.isWhoamiProof(proof, { nonce, peer, instance }) === false) {
      return without(
        failedBy(about, await taken('it has another join secret than this configuration names'), NO_PIECES),
      );
    }
    const proved = membership ? 'and proves that it is a member' : 'its proof was not checked, for want of the secret';
    return { finding: ok(about, `it answers as peer ${peer}, ${proved}`), instance };
  } catch (error) {
    const why = describeError(error);
    const answer: Answer = /ECONNREFUSED/.test(why)
      ? { kind: 'refused' }
      : { kind: /within \d+ ms/.test(why) ? 'silent' : 'rubbish', why };
    if (answer.kind === 'refused' && proxy.isDown) return without(skipped(about, 'no proxy runs here'));
    const command = 'hawker up` or `hawker proxy';
    return without(await notThere(about, { answer, address: listen, root, command, meaning: NO_PIECES }));
  }
}
