import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Around, Finding } from '../../src/doctor/check.ts';
import { temporaryDirectory } from '../store/temporary.ts';

/** A node of files: what is written below `root` is what checks find. */
export interface NodeRig {
  readonly root: string;
  write(path: string, text: string): Promise<void>;
  /** A program that runs `script`, on the node's usual path. */
  program(name: string, script: string): Promise<void>;
  around(settings?: object, environment?: Record<string, string>): Promise<Around>;
}

export async function nodeRig(t: Test): Promise<NodeRig> {
  const root = await temporaryDirectory(t);
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  return {
    root,
    write,
    async program(name, script) {
      await write(`/usr/bin/${name}`, `#!/bin/sh\n${script}\n`);
      await chmod(join(root, '/usr/bin', name), 0o755);
    },
    around: (settings, environment) => aroundWith(t, root, settings, environment),
  };
}

/** A check's surroundings with a configuration as it would be written. */
export async function aroundWith(
  t: Test,
  root: string,
  settings: object = {},
  environment: Record<string, string> = {},
): Promise<Around> {
  const file = join(await temporaryDirectory(t), 'hawker.json');
  await writeFile(file, JSON.stringify(settings));
  const account = { root: true, home: '/root' };
  const { config } = await loadConfig({
    file,
    flags: {},
    environment: {},
    account,
    directory: '/',
    withoutFiles: true,
  });
  return { config, clock: systemClock, root, environment: { PATH: '/usr/bin:/bin', ...environment } };
}

/** Only these registries: none of the built-in ones is asked in a test. */
export function onlyUpstreams(builtIn: readonly string[], upstreams: object): object {
  return { ...Object.fromEntries(builtIn.map((key) => [key, false])), ...upstreams };
}

export function withCode(findings: readonly Finding[], code: string): Finding[] {
  return findings.filter((finding) => finding.code === code);
}
