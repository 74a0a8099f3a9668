import { Membership } from '../p2p/protocol/membership.ts';

/** What a command may do with a secret's file: read and check it, and write it. */
export { readSecretFile, secretsText, type Secrets } from '../p2p/protocol/secret-file.ts';

/** What opens a supernode's API to who has that join secret, to ask only. */
export function readerTokenOf(joinSecret: string): string {
  return new Membership(joinSecret).first.readerToken;
}
