/** In rules: each client on this machine. No user has that name. */
export const LOOPBACK = 'loopback';

/** Nothing that a header, a pattern, a file's line or a log would take for something else. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$/;

/** What a name may be that logs in at the mirror, by a password or a certificate. */
export const USER_NAME_FORMAT =
  'letters, digits and . _ @ + -, 128 at most, the first a letter or digit; not "loopback"';

export function isUserName(text: string): boolean {
  return NAME.test(text) && text !== LOOPBACK;
}
