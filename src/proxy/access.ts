import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { codeOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { formatTime } from '../base/units.ts';
import type { Vouchers } from '../p2p/peer/vouchers.ts';
import { MANIFEST_ACCEPT } from '../registry/media-types.ts';
import type { Link, Refs } from '../store/refs.ts';
import type { AccessRules } from './access-rules.ts';
import type { Asker } from './asker.ts';
import { LoopbackOnly, OriginSlow, RuleMissing } from './errors.ts';
import { repoKey, type Scope } from './namespace.ts';
import { Hearsay } from './hearsay.ts';
import { denialIn, isUnanswered, type OriginAsking } from './origin-asking.ts';

/** How long the origin's word that a repository may be read holds, in milliseconds; a client's token may end it sooner. */
export const RIGHT_MS = 5 * 60_000;
const MAX_RIGHTS = 10_000;
/** For so long a repository that is not for everybody is asked for with a client's own credential first, in milliseconds. */
const REFUSED_MS = 60_000;

const VAGUE_TYPES = new Set(['text/plain', 'application/json', 'application/octet-stream']);

/** What the origin tells of something when it confirms it. */
interface Said {
  readonly size?: number | undefined;
  readonly mediaType?: string | undefined;
}

/** Leave to serve a digest. */
export interface Grant {
  readonly digest: Digest;
  readonly mediaType: string | undefined;
  readonly size: number | undefined;
  /** The `Warning` header of an answer for which the origin could not be asked. */
  readonly warning: string | undefined;
  /**
   * Set where only a manifest names the digest so far. What other repositories have brought here must not go out on a
   * manifest's word: anybody can write one that names a digest they know. Rejects with the registry's no.
   */
  readonly confirm?: (() => Promise<void>) | undefined;
}

/**
 * Whether a client may read something; knowing a digest is no right (I4). A digest is served under a repository when it is
 * linked to it (a manifest read through it names it, or the origin confirmed it there) and the origin has let us read the
 * repository within minutes; else the origin is asked. Its 401, 403 and 404 end the right and the link. While it cannot be
 * asked, only what was last read anonymously, here or by another proxy that vouches for it, within `staleMs`, is served, with a
 * warning.
 */
export class Access {
  readonly #refs: Refs;
  readonly #asking: OriginAsking;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #staleMs: number;
  /** Until when each right holds, by the clock that never jumps. */
  readonly #rights = new LRUCache<string, number>({ max: MAX_RIGHTS });
  readonly #refused = new LRUCache<string, number>({ max: MAX_RIGHTS });
  readonly #flights = new SingleFlight<string, Grant>();
  readonly #vouchers: Vouchers | undefined;
  readonly #hearsay: Hearsay;
  readonly #rules: AccessRules;

  constructor(deps: {
    refs: Refs;
    asking: OriginAsking;
    /** The other proxies; undefined: there are none. */
    vouchers?: Vouchers | undefined;
    clock: Clock;
    log: Logger;
    staleMs: number;
    /** Who may use the configured credentials. */
    rules: AccessRules;
  }) {
    this.#rules = deps.rules;
    this.#vouchers = deps.vouchers;
    this.#hearsay = new Hearsay(deps);
    this.#refs = deps.refs;
    this.#asking = deps.asking;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#staleMs = deps.staleMs;
  }

  /**
   * Throws LOOPBACK_ONLY or RULE_MISSING for a client that may not use the credential configured for the upstream. It is asked for
   * each request, before anything else, also for what is here already: what the credential has read is for nobody else.
   */
  admit(scope: Scope, asker: Asker): void {
    const { upstream, repository } = scope;
    if (upstream.principal !== undefined || !upstream.usesCredentials || this.#rules.allow(asker, scope)) return;
    const { host } = upstream;
    if (asker.user === undefined && !asker.isLocal) throw new LoopbackOnly({ host });
    throw new RuleMissing({ who: asker.user ?? 'clients on this machine', host, repository });
  }

  /** Leave to serve `digest` under the repository; throws the origin's error where there is none. */
  async toDigest(scope: Scope, digest: Digest, kind: 'blob' | 'manifest'): Promise<Grant> {
    const link = await this.#refs.linkOf(repoKey(scope), digest);
    return this.#grantBy(link, scope, kind) ?? this.#askOnce(scope, digest, kind, link);
  }

  /** The same where it is known without a wait, as for most of what is warm; else undefined. */
  toDigestNow(scope: Scope, digest: Digest, kind: 'blob' | 'manifest'): Grant | undefined {
    return this.#grantBy(this.#refs.linkInMemory(repoKey(scope), digest), scope, kind);
  }

  #grantBy(link: Link | undefined, scope: Scope, kind: 'blob' | 'manifest'): Grant | undefined {
    if (!link || !this.#hasRight(scope)) return undefined;
    return { ...grantOf(link, undefined), ...(!link.confirmed && { confirm: () => this.#ask(scope, kind, link) }) };
  }

  async #ask(scope: Scope, kind: 'blob' | 'manifest', link: Link): Promise<void> {
    await this.#askOnce(scope, link.digest, kind, link);
  }

  /** The registry has given what the grant is for, under the repository. */
  async given(scope: Scope, { digest, mediaType, size, confirm }: Grant): Promise<void> {
    // Where peers vouched for it, the registry may not have been asked at all.
    if (confirm && !this.#hearsay.of(scope, digest))
      await this.link(scope, [this.newLink(scope, { digest, mediaType, size, confirmed: true })]);
  }

  /** Notes what was read through the repository. What anybody may read does not become private by being read with a credential. */
  async link(scope: Scope, links: readonly Link[]): Promise<void> {
    const repo = repoKey(scope);
    const isOpen = async ({ digest, confirmed }: Link) => {
      const known = scope.upstream.principal === undefined ? undefined : await this.#refs.linkOf(repo, digest);
      return known !== undefined && this.isFresh(known) && (known.confirmed || !confirmed);
    };
    const open = await Promise.all(links.map(isOpen));
    await this.#refs.link(
      repo,
      links.filter((_, index) => !open[index]),
    );
  }

  #askOnce(scope: Scope, digest: Digest, kind: 'blob' | 'manifest', link: Link | undefined): Promise<Grant> {
    return this.#flights.run(`${kind} ${digest} ${rightKey(scope)}`, () => this.#confirm(scope, digest, kind, link));
  }

  async #confirm(scope: Scope, digest: Digest, kind: 'blob' | 'manifest', link: Link | undefined): Promise<Grant> {
    const stale = link?.confirmed && this.isFresh(link) ? link : this.#hearsay.of(scope, digest);
    const others = scope.upstream.usesCredentials || !this.#vouchers?.isAnybodyThere ? undefined : this.#vouchers;
    const isInBrief = this.#asking.hasJustFailed(scope.upstream);
    const ask = (hasFallback: boolean) => this.#confirmAtOrigin(scope, digest, kind, link, hasFallback);
    let failure: unknown;
    try {
      return await ask(stale !== undefined || others !== undefined);
    } catch (error) {
      if (!isUnanswered(error)) throw error;
      if (stale) return grantOf(stale, this.warning(scope, stale.at, error));
      if (!others) throw error;
      failure = error;
    }
    const hear = async (thorough: boolean): Promise<Grant | undefined> => {
      const link = await this.#hearsay.hear(scope, digest, others, thorough);
      return link && grantOf(link, this.warning(scope, link.at, failure));
    };
    const vouched = await hear(false);
    if (vouched) return vouched;
    if (isInBrief || failure instanceof OriginSlow) {
      // Nobody vouches for it, and the origin has not really been asked yet.
      try {
        return await ask(false);
      } catch (error) {
        if (!isUnanswered(error)) throw error;
        failure = error;
      }
    }
    const lastResort = await hear(true);
    if (lastResort) return lastResort;
    throw failure;
  }

  async #confirmAtOrigin(
    scope: Scope,
    digest: Digest,
    kind: 'blob' | 'manifest',
    link: Link | undefined,
    hasFallback: boolean,
  ): Promise<Grant> {
    try {
      const said = await this.#asking.ask<Said>(scope.upstream, hasFallback, (signal) =>
        kind === 'blob'
          ? scope.upstream.confirmBlob(scope.repository, digest, signal)
          : confirmManifest(scope, digest, signal),
      );
      const mediaType = precise(said.mediaType) ?? link?.mediaType;
      const size = said.size ?? link?.size;
      const confirmed = this.newLink(scope, { digest, mediaType, size, confirmed: true });
      await this.link(scope, [confirmed]);
      this.#hearsay.forget(scope, digest);
      this.grant(scope);
      return grantOf(confirmed, undefined);
    } catch (error) {
      await this.denied(scope, digest, error);
      throw error;
    }
  }

  /** A link as of now. */
  newLink(
    scope: Scope,
    {
      digest,
      mediaType,
      size,
      confirmed,
    }: {
      digest: Digest;
      mediaType: string | undefined;
      size: number | undefined;
      confirmed: boolean;
    },
  ): Link {
    return {
      digest,
      at: this.#clock.now(),
      anonymous: !scope.upstream.usesCredentials,
      confirmed,
      ...(mediaType === undefined ? {} : { mediaType }),
      ...(size === undefined ? {} : { size }),
    };
  }

  /** The origin has just let us read the repository. */
  grant(scope: Scope): void {
    this.#refused.delete(rightKey(scope));
    const { expiresAt } = scope.upstream.client;
    // An expired token that the registry has taken all the same is asked about each time.
    const holdsMs = expiresAt === undefined ? RIGHT_MS : Math.min(RIGHT_MS, expiresAt - this.#clock.now());
    this.#rights.set(rightKey(scope), this.#clock.monotonic() + holdsMs);
  }

  /**
   * Ends right and link if `error` is the origin's "no": one about the repository (401, 403) ends all that was known of it. One to a
   * client's own credential ends the right of that credential only.
   */
  async denied(scope: Scope, digest: Digest | undefined, error: unknown): Promise<void> {
    const denial = denialIn(error);
    if (!denial) return;
    if (scope.upstream.principal !== undefined) {
      this.#rights.delete(rightKey(scope));
      return;
    }
    if (denial.answer !== 404) return this.revoke(scope);
    this.#rights.delete(rightKey(scope));
    if (digest !== undefined) this.#hearsay.denied(scope, digest);
    if (digest !== undefined) await this.#refs.unlink(repoKey(scope), digest);
  }

  /** Ends the right to a repository, and forgets what was read through it. */
  async revoke(scope: Scope): Promise<void> {
    this.#rights.delete(rightKey(scope));
    if (scope.upstream.principal !== undefined) return;
    this.#refused.set(rightKey(scope), this.#clock.monotonic());
    this.#hearsay.denied(scope, undefined);
    await this.#refs.forget(repoKey(scope));
  }

  /** Whether what was read then may be served while the origin cannot be asked. */
  isFresh(read: { readonly at: number; readonly anonymous: boolean }): boolean {
    return read.anonymous && this.#clock.now() - read.at <= this.#staleMs;
  }

  /** Notes that something read at `at` is served stale. The code 299 is the one that clients show (OCI distribution spec, "Warnings"). */
  warning(scope: Scope, at: number, error: unknown): string {
    const age = formatTime(this.#clock.now() - at);
    const { host } = scope.upstream;
    this.#log.info({ code: 'SERVED_STALE', upstream: scope.upstream.key, cause: codeOf(error), age }, 'served stale');
    return `299 - "Hawker served this stale, as it was ${age} ago: ${host} cannot be asked (${codeOf(error)})"`;
  }

  /** Whether the origin has just said that nobody reads the repository without a credential of his own. */
  wasRefused(scope: Scope): boolean {
    const since = this.#refused.get(rightKey(scope));
    return since !== undefined && this.#clock.monotonic() - since <= REFUSED_MS;
  }

  #hasRight(scope: Scope): boolean {
    const until = this.#rights.get(rightKey(scope));
    return until !== undefined && this.#clock.monotonic() <= until;
  }
}

/** A media type that says what something is; some registries say `text/plain` or `application/json` for manifests. */
export function precise(mediaType: string | undefined): string | undefined {
  return VAGUE_TYPES.has(mediaType ?? '') ? undefined : mediaType;
}

/** What the configured credential reads is nobody else's, also where it is taken out of the configuration while this runs. */
function rightKey({ upstream, repository }: Scope): string {
  const asker = upstream.principal ?? (upstream.usesCredentials ? 'configured' : '');
  return `${upstream.host}/${repository} ${asker}`;
}

/** By HEAD, and by GET where the registry does not do HEAD, whose answer then is no word on this manifest. */
async function confirmManifest({ upstream, repository }: Scope, digest: Digest, signal: AbortSignal): Promise<Said> {
  const head = await upstream.headManifest(repository, { digest }, MANIFEST_ACCEPT, signal);
  if (head.mediaType !== undefined || head.digest !== undefined) return head;
  const { bytes, mediaType } = await upstream.getManifest(repository, { digest }, MANIFEST_ACCEPT, signal);
  return { size: bytes.length, mediaType };
}

function grantOf(link: Link, warning: string | undefined): Grant {
  return { digest: link.digest, mediaType: link.mediaType, size: link.size, warning };
}
