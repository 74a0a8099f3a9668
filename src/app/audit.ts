import { hostname } from 'node:os';
import { AuditLog } from '../base/audit-log.ts';
import type { Clock } from '../base/clock.ts';
import { codeOf, describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { RoleMetrics } from '../base/metrics.ts';
import type { Config } from '../config/config.ts';
import { AuditFile } from './audit-file.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Reloads } from './reloads.ts';

const LOST_TODO =
  'make room on that disk, or have logrotate keep less; pulls go on, and hawker_audit_lost_total counts what is missing';

export interface AuditDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly lifecycle: Lifecycle;
  readonly reloads: Reloads;
}

/** The audit log of this process, for all its roles. It is there when it is off too, so that SIGHUP can turn it on. */
export class ProcessAudit extends AuditLog {
  readonly #log: Logger;
  readonly #metrics: RoleMetrics[] = [];
  #file: AuditFile | undefined;
  #path: string | undefined;
  #isFailing = false;

  private constructor({ log, clock }: AuditDeps) {
    super({ clock, node: { host: hostname() } });
    this.#log = log;
  }

  /** Rejects with AUDIT_UNUSABLE where a file is configured that cannot be. */
  static async start(config: Config, deps: AuditDeps): Promise<ProcessAudit> {
    const audit = await deps.lifecycle.start({
      name: 'audit',
      start: async () => {
        const audit = new ProcessAudit(deps);
        await audit.#use(config.audit.file);
        return audit;
      },
      stop: (audit) => audit.#use(undefined),
    });
    deps.reloads.add({ keys: ['audit.file'], take: (next) => audit.#use(next.audit.file) });
    return audit;
  }

  /** Lines that are lost count there too. */
  countOn(metrics: RoleMetrics): void {
    this.#metrics.push(metrics);
  }

  /** The same path again is opened again: logrotate has moved the file. */
  async #use(path: string | undefined): Promise<void> {
    if (path !== undefined && this.#file) await this.#file.reopen(path);
    else if (path !== undefined) this.#file = await AuditFile.open(path, this.#options);
    else if (this.#file) {
      this.flush();
      this.write = undefined;
      await this.#file.close();
      this.#file = undefined;
    }
    const file = this.#file;
    this.#path = path;
    this.write = file && ((line) => file.write(line));
  }

  readonly #options = {
    onLost: (lines: number, error: unknown): void => {
      for (const { auditLost } of this.#metrics) auditLost.inc(lines);
      if (this.#isFailing) return;
      this.#isFailing = true;
      this.#log.warn(
        { code: 'AUDIT_LOST', file: this.#path, cause: codeOf(error), todo: LOST_TODO },
        `lines of the audit log are lost: ${describeError(error)}`,
      );
    },
    onWritten: (): void => {
      this.#isFailing = false;
      this.#log.info({ code: 'AUDIT_WRITTEN', file: this.#path }, 'the audit log is written again');
    },
  };
}
