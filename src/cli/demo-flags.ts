import { InvalidArgumentError, Option, type Command } from 'commander';
import { LOG_LEVELS } from '../base/log.ts';
import { formatSize, parseSize, SIZE_FORMAT } from '../base/units.ts';
import { DEFAULT_DEMO, DEMO_LIMITS } from '../app/demo/limits.ts';

/** Gives `hawker demo` its flags; what they are read into is `DemoFlags`. */
export function addDemoFlags(command: Command): void {
  const [fewest, most] = DEMO_LIMITS.nodes;
  const [least, largest] = DEMO_LIMITS.imageBytes;
  command
    .addOption(
      new Option('--nodes <number>', `nodes that pull, ${fewest} to ${most}`)
        .argParser((text) => within(Number(text), [fewest, most], `a number from ${fewest} to ${most}`))
        .default(DEFAULT_DEMO.nodes),
    )
    .addOption(
      new Option('--size <size>', `of the image, ${formatSize(least)} to ${formatSize(largest)}`)
        .argParser((text) => {
          const allowed = `from ${formatSize(least)} to ${formatSize(largest)}; ${SIZE_FORMAT}`;
          return within(parseSize(text), [least, largest], allowed);
        })
        .default(DEFAULT_DEMO.imageBytes, formatSize(DEFAULT_DEMO.imageBytes)),
    )
    .option('--keep', 'leave it running until Ctrl-C, with the addresses printed', false)
    .option('--json', 'as JSON', false)
    .addOption(new Option('--log-level <level>', 'what is logged to see more').choices(LOG_LEVELS).default('error'));
}

function within(value: number | undefined, [least, most]: readonly [number, number], allowed: string): number {
  if (value === undefined || !Number.isInteger(value) || value < least || value > most) {
    throw new InvalidArgumentError(`Allowed: ${allowed}.`);
  }
  return value;
}
