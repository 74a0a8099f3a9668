/** What a connection attempt that took too long fails with. */
export class ConnectTimeout extends Error {
  readonly code = 'ETIMEDOUT';
}
