/**
 * The version of what proxies and supernode say to each other, `major.minor`. Same major works together; another major is
 * refused with the side to upgrade.
 */
export const PROTOCOL_VERSION = '1.0';
