import { codedError } from '../base/errors.ts';

export const FileUrlInvalid = codedError('FILE_URL_INVALID', {
  message: (p: { why: string }) => `that is no URL of a file: ${p.why}`,
  todo: 'give one as in https://downloads.example/tool.tar.gz, without user and password',
});

export const FileDigestInvalid = codedError('FILE_DIGEST_INVALID', {
  message: (_: object) => 'that is no SHA-256 digest',
  todo: 'give its 64 hexadecimal digits, as sha256sum prints them',
});

/** Repeats no value: it may be a password. */
export const FileHeaderInvalid = codedError('FILE_HEADER_INVALID', {
  message: (p: { why: string }) => `these headers cannot be sent to a file's server: ${p.why}`,
  todo: "give each as in 'Authorization: Bearer …', in a line of its own of --header-file FILE",
});

export const FileNotAllowed = codedError('FILE_NOT_ALLOWED', {
  message: (p: { server: string }) =>
    `this node fetches nothing like that from ${p.server}: no pattern of files.allow fits`,
  todo: (p) => `if it should, add a pattern to files.allow of the proxy's configuration: ${p.server}/**`,
});

export const FilesCaUnusable = codedError('FILES_CA_UNUSABLE', {
  message: (p: { file: string; why: string }) => `the certificates of files.ca, ${p.file}, cannot be used: ${p.why}`,
  todo: 'put PEM certificates there that Hawker can read, and start the proxy, or send it SIGHUP again: until then those from before count',
});

/** Of a file that was asked for by its digest. */
export const FileDigestMismatch = codedError('FILE_DIGEST_MISMATCH', {
  message: (p: { file: string; expected: string; actual: string }) =>
    `${p.file} has the digest ${p.actual}, not ${p.expected}`,
  todo: 'check the digest, and that the URL is that of the file that it was made for; nothing of it was kept',
});

export const FileBadRequest = codedError('FILE_BAD_REQUEST', {
  message: (p: { why: string }) => `the request cannot be answered: ${p.why}`,
  todo: 'ask by `hawker get`, or GET /api/v1/files?url=URL (and &sha256=HEX)',
});

export const TooManyFiles = codedError('TOO_MANY_FILES', {
  message: (p: { limit: number }) => `${p.limit} files are being sent already`,
  todo: 'ask again; if it stays so, find out which processes of this machine ask for so many at once',
});
