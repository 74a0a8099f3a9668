import type { Case } from './case.ts';
import { cold } from './cases/cold.ts';
import { warm } from './cases/warm.ts';

export const CASES: readonly Case[] = [warm, cold];
