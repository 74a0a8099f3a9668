import { networkInterfaces } from 'node:os';

/** Containers often have none. */
export const HAS_IPV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
