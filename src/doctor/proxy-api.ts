import { request } from 'undici';
import { describeError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import { formatAddress } from '../config/formats.ts';

/** For one question to this node's own proxy. */
const BOUND_MS = 3000;

/** The text of a path of the proxy's own API; `why` where there is none. */
export async function askProxyApi(
  { api }: Pick<Config, 'api'>,
  path: string,
): Promise<{ readonly text: string } | { readonly why: string }> {
  const url = `http://${formatAddress(api.listen)}${path}`;
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(BOUND_MS), reset: true });
    const text = await body.text();
    return statusCode === 200 ? { text } : { why: `${url} answers with status ${statusCode}` };
  } catch (error) {
    return { why: `${url} does not answer: ${describeError(error)}` };
  }
}

/** What the running proxy's store takes and may take, in bytes; undefined: it does not answer, or has another answer. */
export async function storeUsage(config: Pick<Config, 'api'>): Promise<{ bytes: number; quota: number } | undefined> {
  const answer = await askProxyApi(config, '/api/v1/status');
  if (!('text' in answer)) return undefined;
  try {
    const { store } = JSON.parse(answer.text) as { store?: { bytes?: unknown; quota?: unknown } };
    const { bytes, quota } = store ?? {};
    return typeof bytes === 'number' && typeof quota === 'number' ? { bytes, quota } : undefined;
  } catch {
    return undefined;
  }
}
