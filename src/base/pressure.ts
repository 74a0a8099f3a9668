/*
 * What a node sheds while a resource runs short, and when it takes it up again. Pure: readings and the time are passed in.
 *
 * A level is entered at once and left slowly: the reading has to stay below the level's lower mark for a while, one level
 * at a time, and for longer after each relapse. So a reading that swings, however fast, changes the level a bounded number of times.
 */

/** In the order of what is shed: nothing; uploads to other proxies; keeping what comes in. */
export const PRESSURE_LEVELS = ['none', 'uploads', 'pass-through'] as const;
export type PressureLevel = (typeof PRESSURE_LEVELS)[number];

export const RESOURCES = ['descriptors', 'memory', 'disk'] as const;
export type Resource = (typeof RESOURCES)[number];

/** How long a reading has to be low before a level is left, in milliseconds; doubled after each relapse. */
export const FIRST_HOLD_MS = 5000;
export const MAX_HOLD_MS = 80_000;
/** A level that is entered again so soon after one was left is a relapse, in milliseconds. */
export const RELAPSE_MS = 60_000;

/** Shares of a limit (0 to 1) at which a level is entered, and below which it is left. */
export interface Mark {
  readonly enter: number;
  readonly leave: number;
}

export interface Marks {
  readonly uploads: Mark;
  readonly 'pass-through': Mark;
}

/** What is left above the last mark has to last until what runs has ended. */
const USUAL_MARKS: Marks = { uploads: { enter: 0.8, leave: 0.7 }, 'pass-through': { enter: 0.9, leave: 0.8 } };

/** A process with a low limit has three quarters of it open when it is idle. */
const DESCRIPTOR_MARKS: Marks = {
  uploads: { enter: 0.85, leave: 0.78 },
  'pass-through': { enter: 0.9, leave: 0.85 },
};

/** Uploads cost no disk; below its limit a disk is as good as empty. */
const DISK_MARKS: Marks = { uploads: { enter: 1, leave: 0.9 }, 'pass-through': { enter: 1, leave: 0.9 } };

const MARKS: Readonly<Record<Resource, Marks>> = {
  descriptors: DESCRIPTOR_MARKS,
  memory: USUAL_MARKS,
  disk: DISK_MARKS,
};

/** One resource's level. */
export class Strain {
  readonly #marks: Marks;
  #level = 0;
  #holdMs = FIRST_HOLD_MS;
  /** Since when the readings are low enough to leave the level. */
  #lowSince: number | undefined;
  #leftAt = Number.NEGATIVE_INFINITY;

  constructor(marks: Marks) {
    this.#marks = marks;
  }

  get level(): PressureLevel {
    return PRESSURE_LEVELS[this.#level]!;
  }

  /** Takes a reading, as a share of the limit, at `nowMs` of a clock that never jumps; the level after it. */
  read(share: number, nowMs: number): PressureLevel {
    const reached = levelAt(this.#marks, share);
    if (reached > this.#level) this.#rise(reached, nowMs);
    else if (this.#level > 0 && share < this.#markOf(this.#level).leave) this.#low(nowMs);
    else this.#lowSince = undefined;
    return this.level;
  }

  #rise(to: number, nowMs: number): void {
    if (this.#level === 0) {
      const isRelapse = nowMs - this.#leftAt < RELAPSE_MS;
      this.#holdMs = isRelapse ? Math.min(MAX_HOLD_MS, 2 * this.#holdMs) : FIRST_HOLD_MS;
    }
    this.#level = to;
    this.#lowSince = undefined;
  }

  #low(nowMs: number): void {
    this.#lowSince ??= nowMs;
    if (nowMs - this.#lowSince < this.#holdMs) return;
    this.#level -= 1;
    this.#leftAt = nowMs;
    this.#lowSince = nowMs;
  }

  #markOf(level: number): Mark {
    return level === 1 ? this.#marks.uploads : this.#marks['pass-through'];
  }
}

function levelAt(marks: Marks, share: number): number {
  if (share >= marks['pass-through'].enter) return 2;
  return share >= marks.uploads.enter ? 1 : 0;
}

/** What was read of a resource. */
export interface Reading {
  /** In the resource's unit: descriptors, or bytes. */
  readonly used: number;
  readonly limit: number;
  /** For people: what was read, and against which limit. */
  readonly message: string;
  /** What the operator can do about it. */
  readonly todo: string;
}

export interface PressureChange {
  readonly resource: Resource;
  readonly from: PressureLevel;
  readonly to: PressureLevel;
  readonly reading: Reading;
}

/** As `/api/v1/status` shows it. */
export interface PressureStatus {
  readonly level: PressureLevel;
  readonly reasons: readonly {
    readonly what: Resource;
    readonly used: number;
    readonly limit: number;
    readonly message: string;
    readonly todo: string;
  }[];
  /** When the level was entered: a date of RFC 3339. */
  readonly since: string;
}

/** What parts that shed ask. */
export interface PressureView {
  /** The highest of all resources. */
  readonly level: PressureLevel;
  levelOf(resource: Resource): PressureLevel;
}

/** For who is never told of any. */
export const NO_PRESSURE: PressureView = { level: 'none', levelOf: () => 'none' };

/** All resources of a node. */
export class Pressure implements PressureView {
  readonly #strains: ReadonlyMap<Resource, Strain>;
  readonly #readings = new Map<Resource, Reading>();
  #level: PressureLevel = 'none';
  #sinceMs: number;

  /** `startMs`: milliseconds since 1970. */
  constructor(startMs: number) {
    this.#sinceMs = startMs;
    this.#strains = new Map(RESOURCES.map((resource) => [resource, new Strain(MARKS[resource])]));
  }

  get level(): PressureLevel {
    return this.#level;
  }

  levelOf(resource: Resource): PressureLevel {
    return this.#strains.get(resource)!.level;
  }

  /** Used of the limit, 0 to 1, as last read; 0 where nothing was. */
  shareOf(resource: Resource): number {
    const reading = this.#readings.get(resource);
    return reading ? shareOf(reading) : 0;
  }

  /** Takes a reading; what has changed with it. `nowMs` as of `Strain.read`, `wallMs` since 1970. */
  read(resource: Resource, reading: Reading, nowMs: number, wallMs: number): PressureChange | undefined {
    this.#readings.set(resource, reading);
    const strain = this.#strains.get(resource)!;
    const from = strain.level;
    const to = strain.read(shareOf(reading), nowMs);
    if (from === to) return undefined;
    const level = highest([...this.#strains.values()].map((one) => one.level));
    if (level !== this.#level) {
      this.#level = level;
      this.#sinceMs = wallMs;
    }
    return { resource, from, to, reading };
  }

  status(): PressureStatus {
    const reasons = RESOURCES.flatMap((what) => {
      const reading = this.#readings.get(what);
      if (!reading || this.levelOf(what) === 'none') return [];
      const { used, limit, message, todo } = reading;
      return [{ what, used, limit, message, todo }];
    });
    return { level: this.#level, reasons, since: new Date(this.#sinceMs).toISOString() };
  }
}

function shareOf({ used, limit }: Reading): number {
  return limit > 0 ? Math.min(1, Math.max(0, used / limit)) : 1;
}

function highest(levels: readonly PressureLevel[]): PressureLevel {
  return PRESSURE_LEVELS.findLast((level) => levels.includes(level)) ?? 'none';
}

/** Whether `level` is `least` or higher. */
export function isAtLeast(level: PressureLevel, least: PressureLevel): boolean {
  return PRESSURE_LEVELS.indexOf(level) >= PRESSURE_LEVELS.indexOf(least);
}
