import { resolve } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { CodedError, codeOf, describeError } from '../base/errors.ts';
import { readUpTo } from '../base/read-up-to.ts';
import { MiB } from '../base/units.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';
import { activate, type Activated } from '../setup/activate.ts';
import { apply } from '../setup/apply.ts';
import { diffOf, type Change } from '../setup/change.ts';
import { MirrorAddress, NoRecord, NotConfirmed, NotVerified, UndoConflict } from '../setup/errors.ts';
import { readRecord, recordPath } from '../setup/record.ts';
import { withMirror } from '../setup/registries.ts';
import type { Activation, RuntimeName, SetupAround } from '../setup/runtime.ts';
import { prepare, RUNTIMES } from '../setup/setup.ts';
import { forget, planUndo, undo } from '../setup/undo.ts';
import { TRIAL_IMAGE, verify, type Verification } from '../setup/verify.ts';
import { UsageWrong } from './errors.ts';
import { DONE } from './exit.ts';
import type { ProcessPort } from './process-port.ts';
import type { SetupFlags } from './setup-flags.ts';
import { paint, printable } from './table.ts';
import { hasColour } from './terminal.ts';

/** Of a file of certificates. */
const MAX_CA_BYTES = MiB;

/** What has come of it, as `--json` gives it. */
interface Outcome {
  readonly runtime: RuntimeName;
  changes: readonly { readonly path: string; readonly diff: string }[];
  notes: readonly string[];
  applied: boolean;
  /** The files as they were. */
  backups: readonly string[];
  activation: (Activation & { readonly state: Activated }) | null;
  verified: Verification | null;
  error: { readonly code: string; readonly message: string; readonly todo: string } | null;
}

/** Points a runtime at the mirror, or takes that back; gives the exit status. Rejects with an error of src/setup/errors.ts. */
export async function runSetup(
  name: RuntimeName,
  flags: SetupFlags,
  sources: ConfigSources,
  port: ProcessPort,
): Promise<number> {
  const { config } = await loadConfig({ ...sources, withoutFiles: true });
  const around: SetupAround = {
    config: withMirror(config, flags.mirror),
    root: resolve(port.directory, flags.root),
    environment: port.environment,
    account: port.account,
    clock: systemClock,
    registries: flags.registry,
    mirrorCa: await mirrorCaIn(flags.mirrorCa, port),
  };
  if (around.mirrorCa !== undefined && around.config.proxy.tls.cert === undefined) {
    throw new UsageWrong({
      why: '--mirror-ca and --no-mirror-ca are for a mirror over TLS (--mirror https://…)',
      command: 'hawker setup',
    });
  }
  const run = new SetupRun(name, flags, around, port);
  await run.toEnd(flags.undo === true ? () => run.undo() : () => run.setUp());
  return DONE;
}

async function mirrorCaIn(file: string | false | undefined, port: ProcessPort): Promise<string | false | undefined> {
  if (file === undefined || file === false) return file;
  const unusable = (why: string) =>
    new MirrorAddress({
      why: `${file} ${why}`,
      todo: 'name a PEM file with the certificate of its authority: --mirror-ca FILE',
    });
  const bytes = await readUpTo(resolve(port.directory, file), MAX_CA_BYTES).catch((error: unknown) => {
    throw unusable(`cannot be read (${codeOf(error)})`);
  });
  const text = bytes?.toString() ?? '';
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw unusable('holds no certificate');
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw unusable('holds a private key, which is for nobody else');
  return text;
}

class SetupRun {
  readonly #name: RuntimeName;
  readonly #flags: SetupFlags;
  readonly #around: SetupAround;
  readonly #port: ProcessPort;
  readonly #outcome: Outcome;

  constructor(name: RuntimeName, flags: SetupFlags, around: SetupAround, port: ProcessPort) {
    this.#name = name;
    this.#flags = flags;
    this.#around = around;
    this.#port = port;
    const nothing = {
      changes: [],
      notes: [],
      backups: [],
      applied: false,
      activation: null,
      verified: null,
      error: null,
    };
    this.#outcome = { runtime: name, ...nothing };
  }

  /** Does it, and prints what has come of it where that is wanted as JSON, also when it failed midway. */
  async toEnd(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof CodedError) {
        this.#outcome.error = { code: error.code, message: describeError(error), todo: error.todo };
      }
      throw error;
    } finally {
      if (this.#flags.json) this.#port.print(`${JSON.stringify(this.#outcome)}\n`);
    }
  }

  async setUp(): Promise<void> {
    const { verify: verifying } = this.#flags;
    const { changes, notes } = await prepare(this.#around, this.#name);
    this.#show(changes, notes);
    if (changes.length === 0) {
      this.#say(`Nothing to do: ${this.#name} is set up for this mirror.\n`);
      if (typeof verifying === 'string') await this.#verify();
      return;
    }
    if (!(await this.#mayWrite())) return;
    const backups = await apply(this.#around, this.#name, changes);
    this.#outcome.applied = true;
    this.#outcome.backups = backups;
    const gone = changes.filter(({ after }) => after === undefined);
    const written = changes.filter((change) => !gone.includes(change));
    if (written.length > 0) this.#say(`Wrote ${pathsOf(written)}.\n`);
    if (gone.length > 0) this.#say(`Removed ${pathsOf(gone)}.\n`);
    if (backups.length > 0) this.#say(`As it was: ${backups.join(', ')}.\n`);
    this.#say(`\`hawker setup ${this.#name} --undo\` puts everything back.\n`);
    const state = await this.#activate(changes);
    if (verifying === false) return;
    if (state !== 'pending') await this.#verify();
    else if (typeof verifying === 'string') throw this.#notVerified('it has not taken up its files yet');
  }

  async undo(): Promise<void> {
    const record = await readRecord(this.#around, this.#name);
    if (!record) {
      await this.#refuseUnknown();
      this.#say(`Nothing to undo: ${this.#name} was not set up here.\n`);
      return;
    }
    if (this.#flags.forget) {
      await forget(this.#around, this.#name, record);
      const kept = record.files.flatMap(({ backup }) => backup ?? []);
      this.#say(`Forgotten; the files stay as they are${kept.length === 0 ? '' : `, also ${kept.join(', ')}`}.\n`);
      return;
    }
    const plan = await planUndo(this.#around, record).catch((error: unknown) => {
      if (error instanceof UndoConflict && 'diff' in error) this.#say(shownDiff(String(error.diff), this.#colour()));
      throw error;
    });
    const changes = plan.files.filter(({ before, after }) => before?.text !== after);
    this.#show(changes, []);
    if (changes.length > 0 && !(await this.#mayWrite())) return;
    await undo(this.#around, this.#name, plan);
    this.#outcome.applied = true;
    this.#say(`${this.#name} is as if it had never been set up.\n`);
    if (changes.length > 0) await this.#activate(changes);
  }

  /** Where nothing is known of a change, but the files name the mirror, it was made by hand, or the record is lost. */
  async #refuseUnknown(): Promise<void> {
    const isSetUp = await prepare(this.#around, this.#name).then(
      ({ changes }) => changes.length === 0,
      () => false,
    );
    if (!isSetUp) return;
    const path = recordPath(this.#around, this.#name);
    throw new NoRecord({ runtime: this.#name, path, why: 'is not there, and its files name the mirror' });
  }

  /** False: it is only to be shown. Throws SETUP_NOT_CONFIRMED where nobody said yes. */
  async #mayWrite(): Promise<boolean> {
    if (this.#flags.dryRun) {
      this.#say('Nothing was written (--dry-run).\n');
      return false;
    }
    if (this.#flags.yes) return true;
    const ask = this.#flags.json ? undefined : this.#port.ask;
    if (ask && /^y(?:es)?$/i.test((await ask('Write this? [y/N] ')).trim())) return true;
    throw new NotConfirmed({ asked: ask !== undefined });
  }

  async #activate(changes: readonly Change[]): Promise<Activated> {
    const name = this.#name;
    const runtime = RUNTIMES[name];
    const activation = await runtime.activation(
      this.#around,
      changes.map(({ path }) => path),
    );
    const restart = this.#flags.restart === true;
    const state = await activate(this.#around, { name, runtime, activation, restart });
    this.#outcome.activation = { ...activation, state };
    const { kind, command, why } = activation;
    if (state === 'nothing') this.#say(`No restart is needed: ${why}.\n`);
    else if (state === 'done') this.#say(`${kind === 'reload' ? 'Reloaded' : 'Restarted'} ${name}: ${why}.\n`);
    else this.#say(`To do: ${command}${kind === 'restart' ? ', or --restart here' : ''} (${why}).\n`);
    return state;
  }

  async #verify(): Promise<void> {
    const name = this.#name;
    const { verify: image } = this.#flags;
    const isNamed = typeof image === 'string';
    const runtime = RUNTIMES[name];
    const verified = await verify(this.#around, { name, runtime, image: isNamed ? image : TRIAL_IMAGE });
    this.#outcome.verified = verified;
    // What was asked for by name, and could not be done, has failed.
    if (isNamed && verified.status === 'skipped') throw this.#notVerified(verified.seen);
    this.#say(`${verified.status === 'ok' ? 'Verified' : 'Not verified'}: ${verified.seen}.\n`);
  }

  #notVerified(why: string): Error {
    const todo = `put that right, then: hawker setup ${this.#name} --verify IMAGE`;
    return new NotVerified({ runtime: this.#name, why, todo });
  }

  #show(changes: readonly Change[], notes: readonly string[]): void {
    this.#outcome.changes = changes.map((change) => ({ path: change.path, diff: diffOf(change) }));
    if (changes.length === 0) return;
    this.#outcome.notes = notes;
    for (const { diff } of this.#outcome.changes) this.#say(`${shownDiff(diff, this.#colour())}\n`);
    for (const note of notes) this.#say(`Note: ${printable(note)}.\n`);
  }

  #colour(): boolean {
    return hasColour(this.#port);
  }

  #say(text: string): void {
    if (!this.#flags.json) this.#port.print(text);
  }
}

function pathsOf(changes: readonly Change[]): string {
  return changes.map(({ path }) => path).join(', ');
}

/** For people: each line as it is, but for what would steer the terminal. */
function shownDiff(diff: string, colour: boolean): string {
  const lines = diff.trimEnd().split('\n');
  return lines.map((line) => `${painted(printable(line.replaceAll('\t', '    ')), colour)}\n`).join('');
}

function painted(line: string, colour: boolean): string {
  if (!colour || /^(?:---|\+\+\+) /.test(line)) return line;
  if (line.startsWith('+')) return paint(line, 'green');
  return line.startsWith('-') ? paint(line, 'red') : line;
}
