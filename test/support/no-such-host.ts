/**
 * A name that no host has: a part of it is longer than any (63 bytes), so that the system says so itself. Of one that might be, DNS is
 * asked, which may take seconds to answer, or has no answer where there is no network.
 */
export const NO_SUCH_HOST = `${'no-such-host'.padEnd(64, '-x')}.invalid`;
