import type { Case } from './case.ts';
import { cold } from './cases/cold.ts';
import { crowd } from './cases/crowd.ts';
import { containerdPull, dockerPull } from './cases/daemons.ts';
import { farOrigin } from './cases/far-origin.ts';
import { firstByte } from './cases/first-byte.ts';
import { manifest, tag } from './cases/manifest.ts';
import { memory } from './cases/memory.ts';
import { peer } from './cases/peer.ts';
import { supernode } from './cases/supernode.ts';
import { swarm16, swarm8 } from './cases/swarm.ts';
import { warm } from './cases/warm.ts';

export const CASES: readonly Case[] = [
  warm,
  cold,
  firstByte,
  farOrigin,
  peer,
  crowd,
  manifest,
  tag,
  swarm8,
  swarm16,
  memory,
  dockerPull,
  containerdPull,
  supernode,
];
