/**
 * Loaded before each test file (`node --import`): what is random in a test process comes from one number, so that a failure can be
 * had again, and a change is judged by the change and not by the day's luck. The same number gives each file histories of its own.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import fc from 'fast-check';
import { randomFrom } from '../../scripts/support/random.ts';

const given = process.env['HAWKER_SEED'];
// The program, where a test starts it, takes it for a setting that it does not know.
delete process.env['HAWKER_SEED'];
if (given !== undefined && given !== '') {
  const hash = createHash('sha256')
    .update(`${given}/${basename(process.argv[1] ?? '')}`)
    .digest();
  const seed = hash.readInt32LE();
  fc.configureGlobal({ seed });
  Math.random = randomFrom(seed);
}
