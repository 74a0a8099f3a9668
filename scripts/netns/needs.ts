import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PROGRAM } from './programs.ts';

/** Why a rig of network namespaces cannot run here, each reason with what to do; `packages`: Debian's, by the programs that it runs. */
export function missingHere(packages: Readonly<Record<string, string>>): string[] {
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const absent = Object.keys(packages).filter((program) => !path.some((dir) => existsSync(join(dir, program))));
  const names = [...new Set(absent.map((program) => packages[program]))].join(' ');
  return [
    process.platform !== 'linux' && 'network namespaces are of Linux only',
    process.getuid?.() !== 0 && 'it takes root to make network namespaces: try sudo',
    absent.length > 0 && `not installed: ${absent.join(', ')} (on Debian: apt-get install ${names})`,
    !existsSync(PROGRAM) && `${PROGRAM} is not there: run npm run build`,
  ].filter((reason) => reason !== false);
}
