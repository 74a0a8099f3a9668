import { createPrivateKey, X509Certificate } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { type CodedError, codeOf, describeError } from '../../base/errors.ts';
import { isPrivate, octal } from '../../base/private-file.ts';
import { MiB } from '../../base/units.ts';
import { ClusterTlsUnusable } from './errors.ts';

/** Paths of PEM files: this node's certificate (those between it and the CA behind it), its key, and the CA's, one or several. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** What the files hold. A secret: never logged. */
export interface TlsMaterial {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** From this node's own certificate to the CA's that it goes back to. */
  readonly chain: readonly X509Certificate[];
}

type FileName = keyof TlsFiles;

const MAX_FILE_BYTES = MiB;
/** The longest way from a certificate to its CA. */
const MAX_CHAIN = 8;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
/** Extended key usage (RFC 5280, section 4.2.1.12): every node is server and client to others. */
const USAGES: readonly (readonly [oid: string, name: string])[] = [
  ['1.3.6.1.5.5.7.3.1', 'serverAuth'],
  ['1.3.6.1.5.5.7.3.2', 'clientAuth'],
];

/**
 * Reads the files and checks that a cluster can be joined with them at `now` (milliseconds since 1970). Throws CLUSTER_TLS_UNUSABLE,
 * which names the file and what is wrong with it, and says nothing of what is in the key.
 */
export async function readTlsFiles(files: TlsFiles, now: number): Promise<TlsMaterial> {
  const fail = failureOf(files);
  // One after the other, so that of several faults it is always the same that is told.
  const cert = await read(files, 'cert');
  const key = await read(files, 'key');
  const ca = await read(files, 'ca');
  const own = certificatesIn(cert, (why) => fail('cert', why));
  const authorities = certificatesIn(ca, (why) => fail('ca', why));
  checkKey(key, own[0]!, (name, why) => fail(name, why));
  const chain = chainOf(own, authorities, now);
  if (!chain) {
    const names = authorities.map(nameOf).join('; ');
    throw fail('cert', `it goes back to no root of ${files.ca} (issuer: ${lineOf(own[0]!.issuer)}; there: ${names})`);
  }
  for (const [index, one] of chain.entries()) {
    const fault = faultOfTime(one, now);
    if (fault !== undefined) throw fail(index === chain.length - 1 && index > 0 ? 'ca' : 'cert', fault);
  }
  checkUsage(own[0]!, (why) => fail('cert', why));
  try {
    createSecureContext({ cert, key, ca });
  } catch (error) {
    throw fail('cert', describeError(error), error);
  }
  return { cert, key, ca, chain };
}

/** The CA's certificates alone: what is public. Throws CLUSTER_TLS_UNUSABLE. */
export async function readAuthorities(files: TlsFiles): Promise<string> {
  const ca = await read(files, 'ca');
  certificatesIn(ca, (why) => failureOf(files)('ca', why));
  return ca;
}

function failureOf(files: TlsFiles) {
  return (name: FileName, why: string, cause?: unknown) =>
    new ClusterTlsUnusable({ setting: `cluster.tls.${name}`, path: files[name], why }, { cause });
}

async function read(files: TlsFiles, name: FileName): Promise<string> {
  try {
    return await readPem(files[name], name === 'key');
  } catch (error) {
    const fail = failureOf(files);
    throw error instanceof Unfit ? fail(name, error.message) : fail(name, whyUnreadable(error), error);
  }
}

/** A certificate's subject, on one line. */
export function nameOf({ subject }: X509Certificate): string {
  return lineOf(subject);
}

/** The one of the chain that ends first, and when, in milliseconds since 1970. */
export function endOf({ chain }: Pick<TlsMaterial, 'chain'>): {
  readonly certificate: X509Certificate;
  readonly at: number;
} {
  const ends = chain.map((certificate) => ({ certificate, at: Date.parse(certificate.validTo) }));
  return ends.reduce((first, each) => (each.at < first.at ? each : first));
}

/** What is wrong with a file's content or mode, in words. */
class Unfit extends Error {}

async function readPem(path: string, isKey: boolean): Promise<string> {
  const file = await open(path, 'r');
  try {
    const about = await file.stat();
    if (isKey && !isPrivate(about)) {
      throw new Unfit(`others than its owner may use it (mode ${octal(about.mode)}): chmod 0600`);
    }
    const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length < buffer.length; length += count) {
      count = (await file.read(buffer, length, buffer.length - length, null)).bytesRead;
    }
    if (length > MAX_FILE_BYTES) throw new Unfit('it is larger than 1 MiB');
    return buffer.toString('utf8', 0, length);
  } finally {
    await file.close();
  }
}

function whyUnreadable(error: unknown): string {
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EISDIR: 'it is a directory',
    EACCES: 'this user may not read it',
  };
  return known[codeOf(error)] ?? describeError(error);
}

function certificatesIn(pem: string, fail: (why: string) => CodedError): X509Certificate[] {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw fail('there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw fail(`a certificate in it cannot be read: ${describeError(error)}`);
    }
  });
}

function checkKey(pem: string, certificate: X509Certificate, fail: (name: FileName, why: string) => CodedError): void {
  let key;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    const isEncrypted = /ENCRYPTED/.test(pem.slice(0, 200));
    // The text of OpenSSL's errors names functions, not content.
    throw fail('key', isEncrypted ? 'it is encrypted, and nobody is there to ask' : `no key in it: ${codeOf(error)}`);
  }
  if (!certificate.checkPrivateKey(key)) throw fail('key', `it does not fit the certificate (${nameOf(certificate)})`);
}

/**
 * The way from the first certificate to a root among the CAs, as OpenSSL goes it; of several CAs that have signed one, over one that is
 * good now.
 */
function chainOf(
  own: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  now: number,
): X509Certificate[] | undefined {
  const chain = [own[0]!];
  while (chain.length < MAX_CHAIN) {
    const last = chain.at(-1)!;
    const issuers = authorities.filter((ca) => hasIssued(ca, last));
    const next =
      issuers.find((ca) => faultOfTime(ca, now) === undefined) ??
      issuers[0] ??
      own.find((each) => !chain.includes(each) && hasIssued(each, last));
    if (!next) return undefined;
    if (next !== last) chain.push(next);
    if (issuers.includes(next) && hasIssued(next, next)) return chain;
  }
  return undefined;
}

function hasIssued(ca: X509Certificate, certificate: X509Certificate): boolean {
  return ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
}

function faultOfTime(certificate: X509Certificate, now: number): string | undefined {
  const { validFrom, validTo } = certificate;
  const name = nameOf(certificate);
  if (now < Date.parse(validFrom))
    return `${name} is not valid before ${iso(validFrom)} (or this node's clock is behind)`;
  if (now > Date.parse(validTo)) return `${name} has expired at ${iso(validTo)}`;
  return undefined;
}

function checkUsage({ keyUsage }: X509Certificate, fail: (why: string) => CodedError): void {
  // Without the extension any use is allowed.
  const missing = keyUsage === undefined ? [] : USAGES.filter(([oid]) => !keyUsage.includes(oid));
  if (missing.length === 0) return;
  const names = missing.map(([, name]) => name).join(' and ');
  throw fail(`its extended key usage lacks ${names}: every node is server and client to the others`);
}

function iso(date: string): string {
  return new Date(Date.parse(date)).toISOString();
}

function lineOf(name: string): string {
  return name.replaceAll('\n', ', ');
}
