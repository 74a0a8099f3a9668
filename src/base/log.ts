import { pino, type DestinationStream, type Logger as PinoLogger, type LoggerOptions } from 'pino';
import pretty from 'pino-pretty';
import { codeOf, describeError } from './errors.ts';

/**
 * The logger handed to every part. Each warning and error carries a stable `code`:
 * `log.warn({ code: 'ORIGIN_STALLED', upstream }, 'no bytes from the origin for 10 s')`.
 */
export type Logger = PinoLogger;

export type LogFormat = 'json' | 'pretty';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Keys that may hold a secret wherever they turn up in a logged object; their values are never written. */
const SECRET_KEYS = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'password',
  'secret',
  'token',
  'access_token',
  'refresh_token',
  'identitytoken',
  'registrytoken',
  'auth',
  'Authorization',
  'Proxy-Authorization',
  'Cookie',
  'Set-Cookie',
  'X-Registry-Auth',
];

/** What could not be written is tried again with what comes, up to this much. */
const MAX_UNWRITTEN_BYTES = 1024 * 1024;

/** The level of each logger of `createLogger`, in one place for it and its children. */
const thresholds = new WeakMap<Logger, { value: number }>();

/**
 * A logger that writes to standard output, or to `destination` in tests. Secret keys are redacted to three levels deep:
 * a second line of defence, the first is that no part hands a credential to the log.
 */
export function createLogger(options: { level: LogLevel; format: LogFormat; destination?: DestinationStream }): Logger {
  const paths = SECRET_KEYS.flatMap((key) =>
    ['', '*.', '*.*.'].map((prefix) => `${prefix}["${key}"]`.replace('.[', '[')),
  );
  const threshold = { value: levelValue(options.level) };
  const settings: LoggerOptions = {
    // Children copy their parent's level when they are made. So that a change reaches them all, pino lets everything through
    // and the hook, which they share, decides.
    level: 'trace',
    hooks: {
      logMethod(args, method, level) {
        if (level >= threshold.value) method.apply(this, args);
      },
    },
    serializers: { err: plainError },
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths, censor: '[redacted]' },
  };
  const log: Logger = pino(settings, options.destination ?? standardOutput(options.format));
  thresholds.set(log, threshold);
  return log;
}

/** Where writing fails (a full disk under the log, a terminal that is gone), Hawker goes on and the log has a gap. */
function standardOutput(format: LogFormat): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: MAX_UNWRITTEN_BYTES });
  output.on('error', () => {});
  if (format === 'json') return output;
  return pretty({
    colorize: process.stdout.isTTY,
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
    destination: output,
  });
}

/** Changes the level of a logger of `createLogger`, and of all its children. */
export function setLogLevel(log: Logger, level: LogLevel): void {
  const threshold = thresholds.get(log);
  if (threshold) threshold.value = levelValue(level);
}

function levelValue(level: LogLevel): number {
  return pino.levels.values[level] ?? Infinity;
}

/** An error's own fields stay out: those of HTTP clients hold whole requests with their headers. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return { type: error.name, code: codeOf(error), message: describeError(error), stack: error.stack };
}

/** A logger that writes nothing. */
export const silentLogger: Logger = pino({ level: 'silent' });
