import { describeError } from '../base/errors.ts';
import { shownPath } from '../base/shown-path.ts';
import { readSecretFile } from '../app/join-secret.ts';
import type { Config } from '../config/config.ts';
import { ConfigRefused, isConfigError } from '../config/errors.ts';
import { loadConfig, type ConfigSources } from '../config/load.ts';
import type { ConfigWarning } from '../config/rules.ts';
import { checkCertificates } from './certificates.ts';
import type { Finding } from './check.ts';
import { failedBy } from './failed-by.ts';
import { failed, ok, skipped } from './findings.ts';

const SECRET_KEY = 'cluster.secretFile';
const NOT_STARTED = 'Hawker does not start with it, and exits with status 2';

export interface ConfigLook {
  readonly findings: readonly Finding[];
  /** Undefined: it cannot be told what was meant. */
  readonly config: Config | undefined;
}

/** The configuration as the services would load it, with its warnings, and the join secret that it names. */
export async function lookAtConfig(sources: ConfigSources): Promise<ConfigLook> {
  const { file } = sources;
  const about = { code: 'CONFIG', title: file === undefined ? 'configuration (no file)' : `configuration ${file}` };
  const good = ok(about, 'every key is known, every value is allowed, the files that it names are there');
  try {
    const { config, warnings } = await loadConfig(sources);
    const findings = [good, ...warnings.map(warningText)];
    return { findings: [...findings, await checkSecret(config), ...(await checkCertificates(config))], config };
  } catch (error) {
    if (!isConfigError(error)) throw error;
    const rest = await withoutFiles(sources);
    if (error instanceof ConfigRefused && error.params.key === SECRET_KEY && rest) {
      const readable = ok(about, 'every key is known, every value is allowed');
      return {
        findings: [
          readable,
          ...rest.warnings.map(warningText),
          secretFault(error, rest.config),
          ...(await checkCertificates(rest.config)),
        ],
        config: rest.config,
      };
    }
    const fault = failedBy(about, error, NOT_STARTED);
    return rest
      ? {
          findings: [fault, await checkSecret(rest.config), ...(await checkCertificates(rest.config))],
          config: rest.config,
        }
      : { findings: [fault], config: undefined };
  }
}

/** What is wrong may be no more than a file that it names: all else can then be looked at. */
function withoutFiles(
  sources: ConfigSources,
): Promise<{ config: Config; warnings: readonly ConfigWarning[] } | undefined> {
  return loadConfig({ ...sources, withoutFiles: true }).catch(() => undefined);
}

function warningText({ code, key, message }: ConfigWarning): Finding {
  const [seen = message, todo = 'see config/hawker.yaml'] = message.split(/; (?=use |set )/);
  return failed(
    { code: 'CONFIG', title: `configuration: ${key}` },
    { seen, meaning: 'it starts so, and warns of it', todo, error: code },
  );
}

async function checkSecret({ cluster }: Config): Promise<Finding> {
  const { secretFile, tls } = cluster;
  const about = {
    code: 'JOIN_SECRET',
    title: `join secret${secretFile === undefined ? '' : ` ${shownPath(secretFile)}`}`,
  };
  if (secretFile === undefined) {
    const what = tls ? 'members are known by their certificates' : 'the cluster is open, and on loopback only';
    return ok(about, `none is set: ${what}`);
  }
  try {
    await readSecretFile(secretFile);
    return ok(about, 'it can be read, and by its owner only');
  } catch (error) {
    return failedBy(about, error, NOT_STARTED);
  }
}

/** Another user than Hawker's own may not even see whether it is right. */
function secretFault(error: Error, { cluster }: Config): Finding {
  const about = { code: 'JOIN_SECRET', title: `join secret ${shownPath(cluster.secretFile ?? '')}` };
  if (/\((?:EACCES|EPERM)\)/.test(error.message)) {
    return skipped(about, `${describeError(error)}: run doctor as the user that Hawker runs as`);
  }
  return failedBy(about, error, NOT_STARTED);
}
