import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CodedError, describeError } from '../../base/errors.ts';
import { parseTime, TIME_FORMAT } from '../../base/units.ts';
import { commandIsAbout } from '../../http/command-audit.ts';
import { MAX_IMAGE_CHARACTERS, MAX_PLATFORM_CHARACTERS, MAX_PLATFORMS, MAX_PREHEAT_MS } from '../protocol/limits.ts';
import { PreheatBusy, PreheatInvalid, PreheatNoPeers, PreheatTooFewPeers, PreheatUnknown } from './preheat-errors.ts';
import type { PreheatRequest } from './preheat-order.ts';
import type { Supernode } from './supernode.ts';

/** For an order that names none. */
const DEFAULT_TIMEOUT_MS = 3_600_000;
const MIN_TIMEOUT_MS = 1000;
/** Of an order's body, in bytes. */
const MAX_BODY_BYTES = 16 * 1024;
const MAX_PEERS = 100_000;

const BODY = Type.Object(
  {
    image: Type.String({ minLength: 1, maxLength: MAX_IMAGE_CHARACTERS, pattern: '^[\\x21-\\x7e]+$' }),
    zone: Type.Optional(Type.String({ maxLength: 64 })),
    peers: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PEERS })),
    platforms: Type.Optional(
      Type.Array(Type.String({ pattern: '^[\\x21-\\x7e]+$', maxLength: MAX_PLATFORM_CHARACTERS }), {
        maxItems: MAX_PLATFORMS,
      }),
    ),
    timeout: Type.Optional(Type.String({ maxLength: 32 })),
  },
  { additionalProperties: false },
);

const STATUS: ReadonlyMap<string, number> = new Map([
  [PreheatInvalid.code, 400],
  [PreheatUnknown.code, 404],
  [PreheatNoPeers.code, 409],
  [PreheatTooFewPeers.code, 409],
  [PreheatBusy.code, 429],
]);

/**
 * `POST /api/v1/preheat` with `{image, zone?, peers?, platforms?, timeout?}`: 202 and how it stands, with its place in `Location`.
 * `GET /api/v1/preheats` lists orders, `GET /api/v1/preheats/<id>` tells how each peer stands. `DELETE` of either address of an order
 * cancels it: 200 and how it stands, as for one that is over. Errors are `{code, message, todo}`.
 */
export function preheatRoutes(app: FastifyInstance, supernode: Supernode): void {
  app.post('/api/v1/preheat', { bodyLimit: MAX_BODY_BYTES, errorHandler: unreadable }, (request, reply) =>
    answer(reply, () => {
      const view = supernode.preheat(requestIn(request.body));
      return reply.code(202).header('Location', `/api/v1/preheats/${view.id}`).send(view);
    }),
  );
  app.get('/api/v1/preheats', () => ({ preheats: supernode.preheats() }));
  app.get<{ Params: { id: string } }>('/api/v1/preheats/:id', (request, reply) =>
    answer(reply, () => reply.send(supernode.preheatOf(request.params.id))),
  );
  for (const path of ['/api/v1/preheat/:id', '/api/v1/preheats/:id']) {
    app.delete<{ Params: { id: string } }>(
      path,
      { bodyLimit: MAX_BODY_BYTES, errorHandler: unreadable },
      (request, reply) =>
        answer(reply, () => {
          const view = supernode.cancelPreheat(request.params.id);
          commandIsAbout(request, view.image);
          return reply.send(view);
        }),
    );
  }
}

/** No JSON, not said to be JSON, too long: fastify's own word for it. */
function unreadable(error: unknown, _request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500 } = (error ?? {}) as { statusCode?: number };
  if (statusCode < 400 || statusCode > 499) throw error;
  const { code, message, todo } = new PreheatInvalid({ why: describeError(error) });
  void reply.code(400).send({ code, message, todo });
}

function requestIn(body: unknown): PreheatRequest {
  if (!Value.Check(BODY, body)) {
    const error = Value.Errors(BODY, body).First();
    throw new PreheatInvalid({ why: error ? `${error.path || 'the body'}: ${error.message}` : 'it has another shape' });
  }
  const { image, zone, peers, platforms = [], timeout } = body;
  const timeoutMs = timeout === undefined ? DEFAULT_TIMEOUT_MS : parseTime(timeout);
  if (timeoutMs === undefined) throw new PreheatInvalid({ why: `timeout is not ${TIME_FORMAT}` });
  if (timeoutMs < MIN_TIMEOUT_MS || timeoutMs > MAX_PREHEAT_MS)
    throw new PreheatInvalid({ why: 'timeout is less than 1s or more than 24h' });
  return { image, zone, peers, platforms, timeoutMs };
}

function answer(reply: FastifyReply, task: () => FastifyReply): FastifyReply {
  try {
    return task();
  } catch (error) {
    const status = error instanceof CodedError ? STATUS.get(error.code) : undefined;
    if (!(error instanceof CodedError) || status === undefined) throw error;
    const { code, message, todo } = error;
    return reply.code(status).send({ code, message, todo });
  }
}
