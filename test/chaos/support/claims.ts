import { REPOSITORY } from './pull.ts';
import type { Blamed, Moved, Without } from './row.ts';

/** What more than one row says of its node, or guards. */
export const NOBODY: Blamed = { who: 'nobody' };

/** The read of a blob has failed, and the log names the registry with this code. */
export function upstreamBy(code: string): Blamed {
  return { who: 'the upstream', code, field: 'origin', name: `docker.io/${REPOSITORY}` };
}

/** Of GET requests to the registry with that outcome. */
export function requests(status: number | 'error', by: Moved['by']): Moved {
  return { name: 'hawker_origin_requests_total', labels: { method: 'GET', status: String(status) }, by };
}

export const NEXT_TRY: Without = {
  taken: 'the next try after a read that failed',
  edits: [
    {
      file: 'p2p/peer/origin-reads.js',
      find: 'if (failure.final || this.#tries >=',
      replace: 'if (true || this.#tries >=',
    },
  ],
};
