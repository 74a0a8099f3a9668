import { codedError } from '../base/errors.ts';

/** The gate refused to connect. `address` is what the host is or resolved to. */
export const AddressRefused = codedError('ADDRESS_REFUSED', {
  message: (p: { host: string; address: string }) =>
    p.host === p.address
      ? `${p.address} is not a public address`
      : `${p.host} resolves to ${p.address}, which is not a public address`,
  todo: 'if the address is right, add the host or its network to the upstream’s allow list',
});
