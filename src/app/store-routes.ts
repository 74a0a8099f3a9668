import { Type, type Static, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { CodedError } from '../base/errors.ts';
import { parseSize, SIZE_FORMAT } from '../base/units.ts';
import { StoreAskInvalid, StoreNotOpen } from '../proxy/store-errors.ts';
import type { StoreKeeper } from '../proxy/store-keeper.ts';

/** Of a request's body, in bytes. */
const MAX_BODY_BYTES = 16 * 1024;
const NAME = Type.String({ minLength: 1, maxLength: 512 });
const DRY_RUN = Type.Optional(Type.Boolean());

const RM = Type.Object({ what: NAME, dryRun: DRY_RUN }, { additionalProperties: false });
const GC = Type.Object(
  { keep: Type.Optional(Type.String({ maxLength: 32 })), dryRun: DRY_RUN },
  { additionalProperties: false },
);
const IMAGE = Type.Object({ image: NAME }, { additionalProperties: false });

/**
 * An operator's view of this node's store: `GET /api/v1/store` lists it; `POST /api/v1/store/rm`, `/gc`, `/pin` and `/unpin` change it.
 * Errors are `{code, message, todo}`: 400 for a request of another shape, 503 while the store is not open, else 409.
 */
export function storeRoutes(app: FastifyInstance, keeper: StoreKeeper): void {
  const take = <T extends TSchema>(name: string, schema: T, work: (body: Static<T>) => Promise<unknown>) =>
    app.post(`/api/v1/store/${name}`, { bodyLimit: MAX_BODY_BYTES }, ({ body }, reply) =>
      answer(reply, async () => {
        const given: unknown = body ?? {};
        if (!Value.Check(schema, given)) {
          const error = Value.Errors(schema, given).First();
          throw new StoreAskInvalid({ why: error ? `${error.path || 'the body'}: ${error.message}` : 'another shape' });
        }
        return work(given);
      }),
    );
  app.get('/api/v1/store', (_request, reply) => answer(reply, () => keeper.list()));
  take('rm', RM, ({ what, dryRun = false }) => keeper.remove(what, dryRun));
  take('gc', GC, async ({ keep, dryRun = false }) => {
    const bytes = keep === undefined ? undefined : parseSize(keep);
    if (keep !== undefined && bytes === undefined) throw new StoreAskInvalid({ why: `keep is not ${SIZE_FORMAT}` });
    return keeper.collect(bytes, dryRun);
  });
  take('pin', IMAGE, ({ image }) => keeper.pin(image));
  take('unpin', IMAGE, ({ image }) => keeper.unpin(image));
}

async function answer(reply: FastifyReply, work: () => Promise<unknown>): Promise<FastifyReply> {
  try {
    return await reply.send(await work());
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { code, message, todo } = error;
    const status = error instanceof StoreAskInvalid ? 400 : error instanceof StoreNotOpen ? 503 : 409;
    return reply.code(status).send({ code, message, todo });
  }
}
