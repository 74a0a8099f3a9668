import { CodedError, codedError } from '../base/errors.ts';

/** A running service did not answer. `what` it is, and the setting (and flag) that names it. */
export const ServiceUnreachable = codedError('SERVICE_UNREACHABLE', {
  message: (p: { url: string; what: string; why: string; setting: string }) =>
    `the ${p.what} does not answer at ${p.url}: ${p.why}`,
  todo: (p) =>
    `start it (\`hawker up\` or \`hawker ${p.what}\`), or name its address: ${p.setting} in the file of --config`,
});

export const ServiceBadAnswer = codedError('SERVICE_BAD_ANSWER', {
  message: (p: { url: string; why: string }) => `what answers at ${p.url} is not what was asked for: ${p.why}`,
  todo: 'check the address, and that both sides are Hawker of the same version (`hawker version`)',
});

/** A supernode beyond loopback that does not know us. */
export const ApiRefused = codedError('API_REFUSED', {
  message: (p: { url: string; sent: boolean }) =>
    p.sent
      ? `${p.url} is not answered: it knows neither the operator token nor the join secret of this configuration`
      : `${p.url} is answered only with a token, and the configuration names none`,
  todo: 'name the token (cluster.operatorTokenFile) or the join secret (cluster.secretFile) of that cluster, in the file of --config',
});

export const NoSupernode = codedError('NO_SUPERNODE_NAMED', {
  message: (_: object) => 'the configuration names no supernode to ask: supernodes is empty',
  todo: 'name one: --supernodes http://HOST:6789, or supernodes in the file of --config',
});

export const SecretNotMade = codedError('SECRET_NOT_MADE', {
  message: (p: { path: string; why: string }) => `the secret cannot be made in ${p.path}: ${p.why}`,
  todo: 'name a file in a directory that this user may write to: --secret-file FILE',
});

export const SecretNotThere = codedError('SECRET_NOT_THERE', {
  message: (p: { paths: string }) => `there is no secret to replace: ${p.paths}`,
  todo: '`hawker token` makes one; --secret-file FILE names another place',
});

export const RotationUnclear = codedError('ROTATION_UNCLEAR', {
  message: (p: { path: string; why: string }) => `the next step of the rotation in ${p.path} is not clear: ${p.why}`,
  todo: 'write `next: ` or `previous: ` before its second secret, or end the rotation that is under way first (docs/rotation.md)',
});

export const RotationNotSafe = codedError('ROTATION_NOT_SAFE', {
  message: (p: { path: string; url: string; why: string }) =>
    `the next step of the rotation in ${p.path} is not taken, for it would shut nodes out: ${p.url}: ${p.why}`,
  todo: 'copy the file to the nodes that are missing and send them SIGHUP, then run it again; --force takes the step all the same',
});

export const PasswordNotTaken = codedError('PASSWORD_NOT_TAKEN', {
  message: (p: { why: string; todo: string }) => `no line was made for the users file: ${p.why}`,
  todo: (p) => p.todo,
});

export const Interrupted = codedError('INTERRUPTED', {
  message: (p: { signal: string; left?: string; todo?: string }) =>
    `stopped by ${p.signal} before it was done; ${p.left ?? 'what it had made is removed'}`,
  todo: ({ todo = 'start it again' }) => todo,
});

/** A service says no: its own code, words and what to do. */
export class ServiceRefused extends CodedError {
  readonly code: string;
  readonly todo: string;

  constructor({ code, message, todo }: { code: string; message: string; todo: string }) {
    super(message);
    this.name = code;
    this.code = code;
    this.todo = todo;
  }
}

/** Not all of the chosen peers have the image. */
export const PreheatIncomplete = codedError('PREHEAT_INCOMPLETE', {
  message: (p: { missing: number; of: number; first: string; todo: string }) =>
    `${p.missing} of ${p.of} peer${p.of === 1 ? '' : 's'} ${p.missing === 1 ? 'does' : 'do'} not have the image: ${p.first}`,
  todo: (p) => p.todo,
});

/** What commander cannot see. */
export const UsageWrong = codedError('USAGE', {
  message: (p: { why: string; command: string }) => p.why,
  todo: (p) => `see ${p.command} --help`,
});

export const GetBroken = codedError('GET_BROKEN', {
  message: (p: { why: string; seconds: number }) =>
    `nothing of the file has come for ${p.seconds} s, after several tries: ${p.why}`,
  todo: 'what has come is kept, and the same command goes on from there; see the log of the proxy',
});

export const GetNotWritten = codedError('GET_NOT_WRITTEN', {
  message: (p: { file: string; why: string }) => `${p.file} cannot be written: ${p.why}`,
  todo: 'name a file in a directory that this user may write to, with room for it: -o FILE',
});

export const GetStreamBroken = codedError('GET_STREAM_BROKEN', {
  message: (p: { bytes: number }) =>
    `the file broke off after ${p.bytes} bytes of it had gone to standard output, and is not sure to be the same when it is asked for again`,
  todo: 'do not use what has come; ask again, with -o FILE where its server breaks off often',
});

export const GetLoginUnusable = codedError('GET_LOGIN_UNUSABLE', {
  message: (p: { file: string; why: string }) => `${p.file} cannot be used for a login: ${p.why}`,
  todo: 'give a file of mode 0600, with lines as in `Authorization: Bearer …` (--header-file) or `machine HOST login NAME password …` (--netrc-file)',
});

export const GetWrongDigest = codedError('GET_WRONG_DIGEST', {
  message: (p: { file: string; expected: string; actual: string }) =>
    `what has come for ${p.file} has the SHA-256 ${p.actual}, not ${p.expected}`,
  todo: 'nothing of it was kept, and the end of it did not go to standard output: ask again; if it happens again, look at the disk of this machine',
});

export const GetNotTheSame = codedError('GET_FILE_KEEPS_CHANGING', {
  message: (p: { times: number }) => `the file has changed ${p.times} times while it came, or its server breaks off`,
  todo: 'ask again when it is at rest; with --sha256 the bytes of one version are enough',
});

export const PullFailed = codedError('PULL_FAILED', {
  message: (p: { what: string; why: string }) => `${p.what}: ${p.why}`,
  todo: 'check the name of the image, and see the log of the proxy',
});

export const NoSuchPlatform = codedError('NO_SUCH_PLATFORM', {
  message: (p: { image: string; platform: string; there: string }) =>
    `${p.image} has nothing for ${p.platform}; it has ${p.there}`,
  todo: 'choose one of these (--platform os/arch), or take all of them (--all-platforms)',
});
