import type { ServerOptions } from 'node:https';
import fastify, { type FastifyInstance } from 'fastify';
import { KiB } from '../base/units.ts';
import { endUpgrades } from './no-upgrade.ts';

/** Request line and headers of a request to an API. */
export const API_MAX_HEADER_BYTES = 16 * KiB;
export const API_MAX_BODY_BYTES = 64 * KiB;
/** For the head of a request, and for all of it. */
export const API_REQUEST_MS = 10_000;
/** A connection on which nothing moves, while it is asked or answered. */
export const API_STALL_MS = 120_000;
/** Between two requests: Prometheus asks four times a minute. */
export const API_KEEP_ALIVE_MS = 75_000;

export interface ApiServerOptions {
  readonly maxConnections: number;
  /** Undefined: it speaks plain HTTP. */
  readonly https?: ServerOptions;
}

/** Fastify with the limits of an API. Its own defaults have none for times, and 1 MiB for bodies. */
export function createApiServer({ maxConnections, https }: ApiServerOptions): FastifyInstance {
  const settings = {
    bodyLimit: API_MAX_BODY_BYTES,
    requestTimeout: API_REQUEST_MS,
    connectionTimeout: API_STALL_MS,
    keepAliveTimeout: API_KEEP_ALIVE_MS,
  };
  const sizes = { maxHeaderSize: API_MAX_HEADER_BYTES };
  // Its types tell servers with and without TLS apart, which nobody else has to.
  const app = https
    ? (fastify({ ...settings, https: { ...sizes, ...https } }) as unknown as FastifyInstance)
    : fastify({ ...settings, http: sizes });
  endUpgrades(app.server);
  app.server.headersTimeout = API_REQUEST_MS;
  app.server.maxConnections = maxConnections;
  return app;
}
