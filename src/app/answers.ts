import { Type, type Static } from '@sinclair/typebox';

/*
 * What running services answer, as far as the commands and the doctor read it; more fields are welcome. The shapes are those of
 * the supernode's and the proxy's own APIs, which stay once released.
 */

const Text = Type.String();
const Count = Type.Number();

/** `/api/v1/peers` of a supernode. */
export const PeersAnswer = Type.Object({
  peers: Type.Array(
    Type.Object({
      id: Text,
      host: Text,
      addresses: Type.Array(Text),
      state: Text,
      reason: Text,
      zone: Text,
      version: Text,
      since: Text,
      blobs: Count,
      protocol: Type.Optional(Text),
      /** Where its session comes from. */
      from: Type.Optional(Text),
      clockSkewMs: Type.Optional(Count),
      instance: Type.Optional(Text),
      /** The join secrets that it accepts, by their lines in the supernode's file. */
      secrets: Type.Optional(Type.Array(Text)),
    }),
  ),
  rejected: Type.Array(
    Type.Object({
      address: Text,
      /** Who it said it is; '' where it has not. */
      host: Type.Optional(Text),
      peer: Type.Optional(Text),
      code: Text,
      message: Text,
      at: Text,
      count: Count,
    }),
  ),
});
export type PeersAnswer = Static<typeof PeersAnswer>;

/** `/api/v1/blobs` of a supernode. */
export const BlobsAnswer = Type.Object({
  blobs: Type.Array(
    Type.Object({
      digest: Text,
      size: Type.Union([Count, Type.Null()]),
      holders: Type.Array(Text),
      downloading: Type.Array(Text),
      pieces: Type.Optional(Type.Union([Count, Type.Null()])),
      /** Pieces that each of `downloading` has. */
      downloaded: Type.Optional(Type.Array(Count)),
    }),
  ),
});
export type BlobsAnswer = Static<typeof BlobsAnswer>;

/** `/api/v1/status` of a supernode. */
export const SupernodeStatusAnswer = Type.Object({
  role: Type.Literal('supernode'),
  version: Text,
  protocol: Text,
  since: Text,
  peers: Type.Record(Text, Count),
  swarm: Type.Object({ blobs: Count, wishes: Count, transfers: Count, leases: Count }),
  /** How far the peers are with a rotation of the join secret; null where there is none. */
  rotation: Type.Optional(
    Type.Union([
      Type.Null(),
      Type.Object({ second: Text, ready: Count, waiting: Count, waitingFor: Type.Array(Text) }),
    ]),
  ),
});
export type SupernodeStatusAnswer = Static<typeof SupernodeStatusAnswer>;

/** `/api/v1/status` of a proxy. One that is alone has no peer id and no supernodes. */
export const ProxyStatusAnswer = Type.Object({
  version: Text,
  peer: Type.Optional(Text),
  /** Where the others reach its piece port, as its supernode has been told; or why that is not known. */
  advertised: Type.Optional(Type.Object({ addresses: Type.Array(Text), code: Text, message: Text, todo: Text })),
  supernodes: Type.Optional(
    Type.Array(
      Type.Object({
        url: Text,
        state: Text,
        code: Text,
        message: Text,
        since: Text,
        todo: Type.Optional(Text),
        /** This node's clock minus the supernode's. */
        clockSkewMs: Type.Optional(Type.Union([Count, Type.Null()])),
      }),
    ),
  ),
  store: Type.Object({ bytes: Count, quota: Count }),
  downloads: Type.Array(
    Type.Object({ digest: Text, size: Type.Union([Count, Type.Null()]), inOrder: Count, readers: Count }),
  ),
  pressure: Type.Optional(
    Type.Object({
      level: Text,
      reasons: Type.Array(Type.Object({ what: Text, used: Count, limit: Count, message: Text, todo: Text })),
      since: Text,
    }),
  ),
});
export type ProxyStatusAnswer = Static<typeof ProxyStatusAnswer>;

/** What a proxy's API answers to `POST /api/v1/dial-back`. */
export const DialBackAnswer = Type.Object({
  supernode: Type.Union([Text, Type.Null()]),
  /** The one that was reached. */
  address: Type.Union([Text, Type.Null()]),
  error: Type.Union([Text, Type.Null()]),
});

const Failure = Type.Object({ code: Text, message: Text, todo: Text });

/** What a supernode answers to `POST /api/v1/preheat`, and `/api/v1/preheats/<id>`. */
export const PreheatAnswer = Type.Object({
  id: Text,
  image: Text,
  digest: Type.Union([Text, Type.Null()]),
  state: Type.Union(['running', 'done', 'failed', 'cancelled'].map((state) => Type.Literal(state))),
  peers: Type.Array(
    Type.Object({
      id: Text,
      host: Text,
      zone: Text,
      state: Text,
      reason: Text,
      restarts: Count,
      blobs: Count,
      blobsHere: Count,
      bytes: Count,
      bytesHere: Count,
      failure: Type.Union([Failure, Type.Null()]),
    }),
  ),
});
export type PreheatAnswer = Static<typeof PreheatAnswer>;

/** `/api/v1/store` of a proxy. */
export const StoreAnswer = Type.Object({
  bytes: Count,
  quota: Count,
  pinned: Count,
  blobs: Type.Array(
    Type.Object({
      digest: Text,
      size: Count,
      lastUse: Text,
      isInUse: Type.Boolean(),
      isPinned: Type.Boolean(),
      repositories: Type.Array(Text),
      images: Type.Array(Text),
    }),
  ),
  partial: Type.Array(Type.Object({ digest: Text, bytes: Count })),
  pins: Type.Array(Type.Object({ image: Text, digest: Text, at: Text, blobs: Count, bytes: Count })),
});
export type StoreAnswer = Static<typeof StoreAnswer>;

const Removed = Type.Array(Type.Object({ digest: Text, size: Count, why: Text }));

/** What a proxy answers to `POST /api/v1/store/rm` and `/gc`. */
export const RemovalAnswer = Type.Object({ removed: Removed, kept: Removed });
export type RemovalAnswer = Static<typeof RemovalAnswer>;

/** What a proxy answers to `POST /api/v1/store/pin`. */
export const PinAnswer = Type.Object({ image: Text, digest: Text, blobs: Count, bytes: Count });
/** And to `/unpin`. */
export const UnpinAnswer = Type.Object({ image: Text });
