import { SupernodeSilent } from '../p2p/peer/session-errors.ts';
import type { Candidate } from '../p2p/peer/supernode-dial.ts';
import { visitSupernode, type Visit, type VisitOptions } from '../p2p/peer/visit.ts';
import type { SessionSocket } from '../p2p/protocol/socket.ts';

/** A visit that takes no longer than so: then it is ended, and rejects with SUPERNODE_SILENT. */
export async function visitWithin(waitedMs: number, candidate: Candidate, options: VisitOptions): Promise<Visit> {
  const { address } = candidate;
  let socket: SessionSocket | undefined;
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = options.clock.after(waitedMs, () => {
      socket?.terminate();
      reject(new SupernodeSilent({ address, waitedMs, step: 'test' }));
    });
  });
  const open = async () => {
    socket = await candidate.open();
    return socket;
  };
  const visit = visitSupernode({ address, open }, options);
  try {
    return await Promise.race([visit, late]);
  } finally {
    cancel();
    // Its own end, after ours, is nobody's.
    visit.catch(() => undefined);
  }
}
