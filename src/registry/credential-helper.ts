import { spawn } from 'node:child_process';

/** A helper may ask a cloud's token service, or a locked keychain that will never answer. In milliseconds. */
export const HELPER_TIMEOUT_MS = 15_000;
const MAX_OUTPUT_BYTES = 64 * 1024;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export interface HelperAnswer {
  readonly username: string;
  readonly secret: string;
}

/** Why a helper gave nothing; the text holds nothing of what it printed. */
export class HelperFailed extends Error {}

/**
 * Asks `docker-credential-<name> get` (docker-credential-helpers, "Development"): the server on standard input, JSON on
 * standard output. Undefined: it knows none for that server. No shell. Throws HelperFailed.
 */
export async function askCredentialHelper(
  name: string,
  server: string,
  timeoutMs = HELPER_TIMEOUT_MS,
): Promise<HelperAnswer | undefined> {
  if (!NAME.test(name)) throw new HelperFailed('its name is not one');
  const { exitCode, output } = await run(`docker-credential-${name}`, server, timeoutMs);
  // The helpers' common library says so on standard output, with status 1.
  if (exitCode !== 0 && /credentials not found|no credentials/i.test(output)) return undefined;
  if (exitCode !== 0) throw new HelperFailed(`it ended with status ${exitCode}`);
  return parseAnswer(output);
}

function run(program: string, input: string, timeoutMs: number): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve, reject) => {
    // A group of its own: what it starts must end with it.
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const chunks: Buffer[] = [];
    let length = 0;
    const fail = (why: string, cause?: unknown) => {
      clearTimeout(timer);
      killGroup(child.pid);
      child.stdout.destroy();
      reject(new HelperFailed(why, { cause }));
    };
    const timer = setTimeout(() => fail(`it did not answer within ${timeoutMs} ms`), timeoutMs);
    child.on('error', (error) => fail('it could not be run', error));
    // One that does not read its input closes the pipe early.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_OUTPUT_BYTES) fail(`it printed more than ${MAX_OUTPUT_BYTES} bytes`);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ exitCode: code ?? -1, output: Buffer.concat(chunks).toString() });
    });
  });
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function parseAnswer(output: string): HelperAnswer {
  try {
    const { Username: username, Secret: secret } = JSON.parse(output) as Record<string, unknown>;
    if (typeof username === 'string' && typeof secret === 'string' && secret !== '') return { username, secret };
  } catch {
    // The parser's message quotes the text, which may hold the secret.
  }
  throw new HelperFailed('it printed something that is no credential');
}
