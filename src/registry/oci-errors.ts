import { withoutSecrets } from './sent-secrets.ts';

/** How much of an origin's own words goes into an error or a log line, in characters. */
const MAX_WORDS = 200;
const DIGEST = /\bsha(?:256|512):[0-9a-f]{64,128}\b/g;

/**
 * What an origin says in the body of an error, in one safe line: the codes and messages of an OCI error document (also
 * the `details` of Docker Hub's limits and the `error` of a token endpoint), else the start of a text body. Undefined where it
 * says nothing that a person can read. `secrets` (sent-secrets.ts) are taken out: some say again what they were sent.
 */
export function wordsOfErrorBody(
  body: Uint8Array,
  mediaType: string | undefined,
  secrets: readonly string[],
): string | undefined {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString();
  const words = wordsOfJson(text) ?? (mediaType === 'text/plain' ? text : undefined);
  return words === undefined ? undefined : safeWords(withoutSecrets(words, secrets)) || undefined;
}

/** Cuts `words` to one short line without control characters, queries of URLs and anything long enough to be a token. */
export function safeWords(words: string): string {
  const kept: string[] = [];
  const plain = words
    .slice(0, 20 * MAX_WORDS)
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\s]+/g, ' ')
    .replaceAll(/(https?:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, '$1')
    .replaceAll(/\b(basic|bearer)\s+[^\s"',]+/gi, '$1 …')
    .replaceAll(DIGEST, (digest) => `\u0000${kept.push(digest) - 1}\u0000`)
    .replaceAll(/[A-Za-z0-9_.~+/=-]{40,}/g, '…')
    .replaceAll(/\u0000(\d+)\u0000/g, (_, index: string) => kept[Number(index)]!)
    .trim();
  return plain.length > MAX_WORDS ? `${plain.slice(0, MAX_WORDS - 1)}…` : plain;
}

function wordsOfJson(text: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { errors, error, details, message } = json as Record<string, unknown>;
  const listed = Array.isArray(errors) ? errors.slice(0, 3).map(wordsOfEntry) : [];
  const words = [...listed, details, message, error].filter((w): w is string => typeof w === 'string' && w !== '');
  return words.length > 0 ? [...new Set(words)].join('; ') : undefined;
}

function wordsOfEntry(entry: unknown): string | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { code, message } = entry as Record<string, unknown>;
  return [code, message].filter((w) => typeof w === 'string' && w !== '').join(': ') || undefined;
}
