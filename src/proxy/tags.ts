import type { Digest } from '../base/digest.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { parseManifest } from '../registry/manifest.ts';
import { isManifestType, MANIFEST_ACCEPT, SINGLE_MANIFEST_ACCEPT } from '../registry/media-types.ts';
import type { Refs } from '../store/refs.ts';
import { precise, type Access, type Grant } from './access.ts';
import { repoKey, type Scope } from './namespace.ts';
import { denialIn, isUnanswered, type OriginAsking } from './origin-asking.ts';

/** Which manifests a client takes: any, or no lists. An origin may give another one for a tag by it. */
export type Variant = 'any' | 'single';

/** What a tag stands for now. */
export interface TagGrant extends Grant {
  /** The manifest itself, where it had to be read to know its digest. */
  readonly bytes: Buffer | undefined;
}

/** The origin's answer. */
interface Said {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number | undefined;
  readonly bytes: Buffer | undefined;
}

/** What a tag stands for is not to be kept (schema 1, whose digest is not over its bytes; types not known here). */
export const NOT_KEPT = Symbol('not kept');

/**
 * Asks the origin what a tag stands for, each time: by HEAD, which Docker Hub does not count as a pull. While the origin
 * cannot be asked, the last answer holds, for as long as `Access` lets it.
 */
export class Tags {
  readonly #refs: Refs;
  readonly #access: Access;
  readonly #asking: OriginAsking;
  readonly #flights = new SingleFlight<string, TagGrant | typeof NOT_KEPT>();

  constructor(deps: { refs: Refs; access: Access; asking: OriginAsking }) {
    this.#refs = deps.refs;
    this.#access = deps.access;
    this.#asking = deps.asking;
  }

  /** What `tag` stands for, and leave to serve it; throws the origin's error where there is none. */
  resolve(scope: Scope, tag: string, variant: Variant): Promise<TagGrant | typeof NOT_KEPT> {
    const { registry, repository } = repoKey(scope);
    const asker = scope.upstream.principal ?? '';
    return this.#flights.run(`${registry}/${repository}:${tag} ${variant} ${asker}`, () =>
      this.#resolve(scope, tag, variant),
    );
  }

  async #resolve(scope: Scope, tag: string, variant: Variant): Promise<TagGrant | typeof NOT_KEPT> {
    const known = await this.#refs.tagOf(repoKey(scope), tag, variant);
    const fallback = known !== undefined && this.#access.isFresh(known);
    try {
      const said = await this.#ask(scope, tag, variant, fallback);
      if (!isManifestType(said.mediaType)) return NOT_KEPT;
      await this.#keep(scope, tag, variant, said);
      return { ...said, warning: undefined };
    } catch (error) {
      if (denialIn(error)) {
        if (scope.upstream.principal === undefined) await this.#refs.dropTag(repoKey(scope), tag);
        await this.#access.denied(scope, undefined, error);
      }
      if (!known || !fallback || !isUnanswered(error)) throw error;
      const { digest, mediaType } = known;
      return {
        digest,
        mediaType,
        size: undefined,
        bytes: undefined,
        warning: this.#access.warning(scope, known.at, error),
      };
    }
  }

  async #ask(scope: Scope, tag: string, variant: Variant, fallback: boolean): Promise<Said> {
    const { upstream, repository } = scope;
    const accept = variant === 'any' ? MANIFEST_ACCEPT : SINGLE_MANIFEST_ACCEPT;
    const head = await this.#asking.ask(upstream, fallback, (signal) =>
      upstream.headManifest(repository, { tag }, accept, signal),
    );
    const type = precise(head.mediaType);
    if (head.digest !== undefined && type !== undefined) {
      return { digest: head.digest, mediaType: type, size: head.size, bytes: undefined };
    }
    const { bytes, digest, mediaType } = await this.#asking.ask(upstream, fallback, (signal) =>
      upstream.getManifest(repository, { tag }, accept, signal),
    );
    return { digest, mediaType: parseManifest(bytes, mediaType).mediaType, size: bytes.length, bytes };
  }

  async #keep(scope: Scope, tag: string, variant: Variant, said: Said): Promise<void> {
    const { digest, mediaType, size } = said;
    const link = this.#access.newLink(scope, { digest, mediaType, size, confirmed: true });
    await this.#access.link(scope, [link]);
    await this.#refs.setTag(repoKey(scope), tag, variant, {
      digest,
      mediaType,
      at: link.at,
      anonymous: link.anonymous,
    });
    this.#access.grant(scope);
  }
}
