import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeAndTodo, codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import { withoutUserinfo } from '../base/userinfo.ts';
import { ClientGone } from '../http/abort.ts';
import type { RequestPath, Target } from './request-path.ts';

/** As much of a path as is logged, in characters. */
const LOGGED_PATH = 300;

const HANDLERS: Readonly<Record<Target['kind'], string>> = {
  base: 'base',
  catalog: 'other',
  manifest: 'manifests',
  blob: 'blobs',
  through: 'passthrough',
};

/** What becomes known of a request while it is handled. */
export interface LogEntry {
  path?: RequestPath;
  error?: unknown;
}

/** One line and one count a request, when its response is over. Neither holds a header of the client, nor a query but `ns`. */
export class AccessLog {
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #clock: Clock;

  constructor(deps: { log: Logger; metrics: Metrics; clock: Clock }) {
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
  }

  open(request: IncomingMessage, response: ServerResponse, url: string): LogEntry {
    const entry: LogEntry = {};
    const startedAt = this.#clock.monotonic();
    const { method } = request;
    const client = request.socket.remoteAddress;
    response.once('close', () => {
      const handler = entry.path ? HANDLERS[entry.path.target.kind] : 'other';
      this.#metrics.httpRequests.inc({ handler, status: response.statusCode });
      const ms = Math.round(this.#clock.monotonic() - startedAt);
      const path = withoutUserinfo(url.split('?', 1)[0]!).slice(0, LOGGED_PATH);
      const ns = entry.path?.ns;
      const line = { method, path, ns, status: response.statusCode, ms, client, whole: response.writableFinished };
      this.#write(entry.error, line);
    });
    return entry;
  }

  #write(error: unknown, line: Record<string, unknown>): void {
    if (error === undefined || error instanceof ClientGone) {
      this.#log.debug({ code: 'REQUEST', ...line }, 'request');
    } else if (error instanceof CodedError) {
      this.#log.info({ ...codeAndTodo(error), ...line }, describeError(error));
    } else {
      this.#log.error(
        { code: 'INTERNAL', cause: codeOf(error), err: error, ...line, todo: 'report it as a bug, with this line' },
        'a request failed unexpectedly',
      );
    }
  }
}
