/** What a command may do with a join secret: read and check it. */
export { readSecretFile } from '../p2p/protocol/membership.ts';
