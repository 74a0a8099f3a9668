import { within, type Host } from './host.ts';
import { must } from './programs.ts';

/** The SHA-256 of what a client on that host gets. Throws where it gets none within `boundMs`. */
export async function digestOn(host: Host, url: string, boundMs: number): Promise<string> {
  const script = 'curl --silent --show-error --fail "$1" | sha256sum';
  const sum = await must('nsenter', [...within(host), 'sh', '-c', script, 'digest', url], { boundMs });
  return `sha256:${sum.slice(0, 64)}`;
}
