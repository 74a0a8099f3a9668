import { randomBytes } from 'node:crypto';
import { chown, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { Type } from '@sinclair/typebox';
import { SupernodeStatusAnswer } from '../app/answers.ts';
import { readerTokenOf, readSecretFile, secretsText, type Secrets } from '../app/join-secret.ts';
import { describeError } from '../base/errors.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';
import type { Config } from '../config/config.ts';
import { askService, supernodeAt } from './api-client.ts';
import { ApiRefused, RotationNotSafe, RotationUnclear, SecretNotMade, SecretNotThere } from './errors.ts';
import { exists, newSecret, secretPaths } from './join-secret.ts';
import type { ProcessPort } from './process-port.ts';
import { counted } from './table.ts';

export interface RotateOptions {
  /** The operator's token instead of the join secret. */
  readonly operator: boolean;
  /** A file with the secret that is to take the present one's place; undefined: one is made. */
  readonly newSecretFile: string | undefined;
  /** Without asking the supernodes whether everybody is so far. */
  readonly force: boolean;
  readonly json: boolean;
}

/** What the file is after a step: both secrets, the present one first; both, the new one first; the new one alone. */
type Step = 'next' | 'previous' | 'done';

const ANY = Type.Unknown();

/**
 * Takes the next step of a rotation in the file of a secret. The second and third step are taken only once every supernode of the
 * configuration says that all its peers are so far. Rejects with SECRET_NOT_THERE, ROTATION_UNCLEAR, ROTATION_NOT_SAFE, SECRET_NOT_MADE.
 */
export async function runRotate(sources: ConfigSources, port: ProcessPort, options: RotateOptions): Promise<void> {
  const { config } = await loadConfig({ ...sources, withoutFiles: true });
  const path = await pathOf(secretPaths(config, sources, options.operator));
  const secrets = await readSecretFile(path);
  const { step, after } = await nextStep(path, secrets, options.newSecretFile);
  if (secrets.second && !options.force) await mustBeSafe(config, path, secrets, options.operator);
  await write(path, secretsText(after));
  const setting = options.operator ? 'operatorTokenFile' : 'secretFile';
  if (options.json) port.print(`${JSON.stringify({ [setting]: path, step })}\n`);
  else port.print(explanation(path, step, options.operator));
}

async function pathOf(paths: readonly string[]): Promise<string> {
  for (const path of paths) if (await exists(path)) return path;
  throw new SecretNotThere({ paths: paths.join(', ') });
}

async function nextStep(
  path: string,
  { first, second }: Secrets,
  newSecretFile: string | undefined,
): Promise<{ step: Step; after: Secrets }> {
  if (!second) {
    const secret = newSecretFile === undefined ? newSecret() : (await readSecretFile(newSecretFile)).first;
    if (secret === first)
      throw new RotationUnclear({ path, why: `${newSecretFile} holds the secret that is there already` });
    return { step: 'next', after: { first, second: { secret, role: 'next' } } };
  }
  if (newSecretFile !== undefined && (await readSecretFile(newSecretFile)).first !== newOne({ first, second })) {
    throw new RotationUnclear({ path, why: `a rotation to another secret than that of ${newSecretFile} is under way` });
  }
  if (second.role === 'next') {
    return { step: 'previous', after: { first: second.secret, second: { secret: first, role: 'previous' } } };
  }
  if (second.role === 'previous') return { step: 'done', after: { first } };
  throw new RotationUnclear({ path, why: 'its second line has no label' });
}

function newOne({ first, second }: Secrets): string | undefined {
  return second?.role === 'next' ? second.secret : first;
}

/** Whether every supernode has this file, and every peer there is so far. */
async function mustBeSafe(config: Config, path: string, secrets: Secrets, operator: boolean): Promise<void> {
  const lines = [secrets.first, secrets.second!.secret];
  const tokens = operator ? lines : lines.map(readerTokenOf);
  for (const url of config.supernodes) {
    const unsafe = (why: string) => new RotationNotSafe({ path, url, why });
    const ask = async (token: string) =>
      askService(
        { ...supernodeAt(url, config), authorization: async () => `Bearer ${token}` },
        '/api/v1/status',
        operator ? ANY : SupernodeStatusAnswer,
      ).catch((error: unknown) => {
        if (error instanceof ApiRefused) throw unsafe('it does not accept both secrets of the file');
        throw unsafe(describeError(error));
      });
    const [answer] = await Promise.all(tokens.map(ask));
    if (operator) continue;
    const { rotation } = answer as SupernodeStatusAnswer;
    if (rotation?.second !== secrets.second!.role) throw unsafe('it has not taken up the file as it is here');
    const { ready, waiting, waitingFor } = rotation;
    if (waiting === 0) continue;
    const some =
      waitingFor.length === 0 ? '' : ` (${waitingFor.join(', ')}${waiting > waitingFor.length ? ', …' : ''})`;
    throw unsafe(`${waiting} of ${counted(ready + waiting, 'peer')} ${waiting === 1 ? 'is' : 'are'} not so far${some}`);
  }
}

/** Whole or not at all, for the owner that it had. A symlink stays one. */
async function write(path: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    const real = await realpath(path);
    const { uid, gid } = await stat(real);
    const fresh = `${real}.${randomBytes(6).toString('hex')}`;
    const file = await open(fresh, 'wx', 0o600);
    temporary = fresh;
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await chown(fresh, uid, gid);
    await rename(fresh, real);
    temporary = undefined;
  } catch (cause) {
    throw new SecretNotMade({ path, why: describeError(cause) }, { cause });
  } finally {
    if (temporary !== undefined) await rm(temporary, { force: true });
  }
}

const DONE_SO_FAR: Readonly<Record<Step, string>> = {
  next: 'Step 1 of 3: %s accepts a new secret beside the present one.',
  previous: 'Step 2 of 3: %s proves with the new secret, and accepts the previous one still.',
  done: 'Step 3 of 3: %s has the new secret alone. The previous one opens nothing any more.',
};

function explanation(path: string, step: Step, operator: boolean): string {
  const who = operator ? 'every supernode, and who commands them' : 'every node, supernodes too';
  const asks = operator ? 'every supernode accepts it' : '`hawker status` says that all peers are so far';
  const lines = [
    DONE_SO_FAR[step].replace('%s', path),
    '',
    `Now copy the file to ${who} (mode 0600), and have each read it: kill -HUP, or \`systemctl reload\`. No restart is needed.`,
    step === 'done'
      ? 'With that the rotation is over.'
      : `When ${asks}, run the same command here again: it takes no step before that is safe.`,
  ];
  return `${lines.join('\n')}\n`;
}
