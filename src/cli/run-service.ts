import { describeError } from '../base/errors.ts';
import { createLogger, setLogLevel, type Logger, type LogFormat, type LogLevel } from '../base/log.ts';
import { formatAddress } from '../config/formats.ts';
import type { Config } from '../config/config.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';
import type { Service, ServiceDeps } from '../app/service.ts';
import { Sockets } from '../app/sockets.ts';
import { programVersion } from '../app/version.ts';
import { banner } from './banner.ts';
import { DONE, FAILED, failureLine } from './exit.ts';
import type { Concerns } from './config-flags.ts';
import type { ProcessPort } from './process-port.ts';
import { reloadConfig } from './reload.ts';

export type StartService = (config: Config, deps: ServiceDeps) => Promise<Service>;

/**
 * A second signal within this time is the first one again: on Ctrl-C both the terminal and npm (`npm start`) send one.
 */
const SAME_SIGNAL_MS = 500;
const KEEP_ALIVE_MS = 3_600_000;

/**
 * Runs a service until SIGTERM or SIGINT, then drains it; gives the exit status. Rejects when it cannot start. A second
 * signal ends the process at once.
 */
export async function runService(
  sources: ConfigSources,
  port: ProcessPort,
  start: StartService,
  concerns: Concerns,
): Promise<number> {
  const { config, warnings } = await loadConfig(sources);
  const format = formatOf(config, port);
  const forPerson = format === 'pretty' && port.isTerminal;
  const log = createLogger({ level: forPerson ? quietStart(config.log.level) : config.log.level, format });
  for (const { code, key, message } of warnings) if (concerns(key)) log.warn({ code, key }, message);
  port.onCrash((error) => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.fatal(
      { code: 'UNCAUGHT', stack, todo: 'report it as a bug, with the stack; start it again' },
      `this is a fault in Hawker: ${describeError(error)}`,
    );
    port.complain(failureLine(error));
    port.exit(FAILED);
  });
  const asked = stopSignal(port, log);
  let service: Service | undefined;
  onHangUp(port, asked.stop, config, (running) => reloadConfig(running, service, sources, log, concerns));
  // The bounds of starting and stopping are timers that hold no process up.
  const keepAlive = setInterval(() => {}, KEEP_ALIVE_MS);
  try {
    const sockets = new Sockets(port);
    service = await start(config, { log, sockets });
    for (const name of sockets.unused()) {
      const todo = 'leave its .socket unit out, or start the command that takes it';
      log.warn({ code: 'SOCKET_UNUSED', name, todo }, 'a socket was handed down that nothing here takes');
    }
    announce(service, { config, file: sources.file }, log, forPerson ? port : undefined);
    const why = await asked.signal;
    log.info({ code: 'STOPPING', signal: why }, `${why}: ending what runs; a second signal stops at once`);
    await service.stop();
    log.info({ code: 'STOPPED' }, 'stopped');
    return DONE;
  } finally {
    clearInterval(keepAlive);
  }
}

function formatOf({ log }: Config, port: ProcessPort): LogFormat {
  if (log.format === 'auto') return port.isTerminal ? 'pretty' : 'json';
  return log.format;
}

/** Until the banner stands, a person is told what is wrong, and no more unless they asked for more than usual. */
function quietStart(level: LogLevel): LogLevel {
  return level === 'info' ? 'warn' : level;
}

function announce(
  { addresses }: Service,
  { config, file }: { config: Config; file: string | undefined },
  log: Logger,
  terminal: ProcessPort | undefined,
): void {
  terminal?.print(banner(programVersion(), config, addresses, file));
  setLogLevel(log, config.log.level);
  for (const address of addresses) {
    const { role, upstream, tls } = address;
    const entry = {
      code: 'LISTENING',
      role,
      address: formatAddress(address),
      ...(upstream && { upstream }),
      ...(tls && { tls }),
    };
    log[terminal ? 'debug' : 'info'](entry, 'listening');
  }
}

function stopSignal(port: ProcessPort, log: Logger): { signal: Promise<string>; stop: (why: string) => void } {
  let first: number | undefined;
  let resolve: (why: string) => void = () => {};
  const signal = new Promise<string>((r) => (resolve = r));
  const stop = (why: string) => {
    const now = performance.now();
    if (first === undefined) {
      first = now;
      resolve(why);
    } else if (now - first >= SAME_SIGNAL_MS) {
      log.warn(
        { code: 'STOPPED_AT_ONCE', signal: why, todo: 'nothing: what came in is taken up at the next start' },
        'stopped at once; what ran was cut off',
      );
      port.exit(FAILED);
    }
  };
  port.onSignal('SIGTERM', () => stop('SIGTERM'));
  port.onSignal('SIGINT', () => stop('SIGINT'));
  return { signal, stop };
}

/** SIGHUP reads the configuration again; when it says that the terminal was closed, it ends Hawker as it would any program. */
function onHangUp(
  port: ProcessPort,
  stop: (why: string) => void,
  config: Config,
  reload: (running: Config) => Promise<Config>,
): void {
  let running = Promise.resolve(config);
  port.onSignal('SIGHUP', () => {
    if (port.isTerminal && port.terminalGone()) stop('SIGHUP');
    else running = running.then(reload);
  });
}
