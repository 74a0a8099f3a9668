/** For programs that cannot choose one themselves. */
export { closedPort as freePort } from '../../support/closed-port.ts';
