export interface IdleResult {
  readonly kind: 'idle';
  readonly sessions: number;
  readonly residentMiB: number;
  readonly markMiB: number | undefined;
  /** Share of a core that the heartbeats take. */
  readonly cpu: number;
}

export interface BusyResult {
  readonly kind: 'busy' | 'bare';
  readonly peers: number;
  /** By the clock on the wall, and by the CPU time of the supernode alone. */
  readonly reportsPerSecond: number;
  readonly reportsPerCoreSecond: number;
  readonly assignedPerReport: number;
  readonly reportsPerMessage: number;
  readonly cpu: number;
  readonly residentMiB: number;
}

export interface ReturnResult {
  readonly kind: 'return';
  readonly peers: number;
  readonly blobs: number;
  /** From the first connection until the supernode has taken in the last inventory; and its CPU time for that. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly residentMiB: number;
  /** Of a blob that a proxy holds: what it takes beyond the sessions alone. */
  readonly bytesPerBlob: number;
}

export type Result = IdleResult | BusyResult | ReturnResult;
