#!/usr/bin/env node
import { fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { register } from 'node:module';
import { homedir } from 'node:os';
import { descriptorLimit } from './base/descriptors.ts';
import { codeOf } from './base/errors.ts';
import { FAILED, failureLine } from './cli/exit.ts';
import type { ProcessPort } from './cli/process-port.ts';
import { readSecret } from './cli/read-secret.ts';

let onCrash = (error: unknown): void => {
  process.stderr.write(failureLine(error));
  process.exit(FAILED);
};
process.on('uncaughtException', (error) => onCrash(error));
process.on('unhandledRejection', (error) => onCrash(error));

// A reader that went away (`hawker version | head -0`, a log pipe that ended) is no reason to end.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (codeOf(error) !== 'EPIPE' && codeOf(error) !== 'EIO') onCrash(error);
  });
}

const port: ProcessPort = {
  pid: process.pid,
  argv: process.argv.slice(2),
  environment: process.env,
  account: { root: process.getuid?.() === 0, home: homedir() },
  directory: process.cwd(),
  isTerminal: process.stdout.isTTY,
  columns: () => process.stdout.columns,
  print: (text) => void process.stdout.write(text),
  write: (bytes) =>
    new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => {
        if (error) reject(error);
        else resolve();
      });
    }),
  complain: (text) => void process.stderr.write(text),
  ...(process.stdin.isTTY && process.stdout.isTTY && { ask }),
  readSecret: (question) => readSecret(process.stdin, question, (text) => void process.stderr.write(text)),
  onSignal(signal, listener) {
    process.on(signal, listener);
    // Who was started by `rerun` ends with who started it, however that ended.
    if (signal === 'SIGTERM' && process.connected) process.on('disconnect', listener);
  },
  onCrash: (listener) => {
    onCrash = listener;
  },
  terminalGone() {
    try {
      closeSync(openSync('/dev/tty', 'r'));
      return false;
    } catch {
      return true;
    }
  },
  exit: (status) => process.exit(status),
  rerun: (environment) =>
    new Promise((resolve, reject) => {
      const child = fork(process.argv[1]!, process.argv.slice(2), { env: { ...process.env, ...environment } });
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
      child.once('error', reject);
      child.once('exit', (status) => resolve(status ?? FAILED));
    }),
};

async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline');
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  return await new Promise((resolve) => {
    // The end of the input is no answer.
    lines.once('close', () => resolve(''));
    lines.question(question, (answer) => {
      resolve(answer);
      lines.close();
    });
  });
}

/** Descriptors that Node's loader takes for all modules at once, and some. */
const LOADER_DESCRIPTORS = 256;

if ((descriptorLimit() ?? LOADER_DESCRIPTORS) < LOADER_DESCRIPTORS) register('./base/load-in-turn.js', import.meta.url);
const { runCli } = await import('./cli/cli.ts');
process.exit(await runCli(port));
