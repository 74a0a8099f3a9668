import { MiB } from '../../base/units.ts';

export const DEFAULT_DEMO = { nodes: 4, imageBytes: 64 * MiB } as const;

/** From, to. All nodes run in one process, and the image is kept in memory. */
export const DEMO_LIMITS = { nodes: [2, 16], imageBytes: [MiB, 1024 * MiB] } as const;
