import type { Access } from './access.ts';
import { LoginNeeded, LoopbackOnly, OriginAnswered, RuleMissing } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { originErrorIn } from './origin-asking.ts';

/** Answers of a registry that another asker might not get. */
const NEEDS: ReadonlySet<number> = new Set([401, 403, 404, 429]);

/**
 * Serves an exchange, with the client's own credential where it has to be. What anybody may read is served without, so that it
 * stays what anybody may read; the credential counts where the origin denies that, or has had enough of anonymous askers (429).
 * A client that has none, and knows how to get one, is told where (`mayLogIn`); any other gets the error as it is, a 404, and
 * goes to the registry with its own.
 */
export async function serveByOwnCredential(
  exchange: Exchange,
  access: Access,
  { mayLogIn }: { mayLogIn: boolean },
  serve: () => Promise<void>,
): Promise<void> {
  const { upstream, repository } = exchange.scope;
  const { authorization } = exchange;
  const own = authorization === undefined ? undefined : upstream.forClient(authorization);
  try {
    if (own && access.wasRefused(exchange.scope)) exchange.askBy(own);
    try {
      await serve();
    } catch (error) {
      if (!own || exchange.scope.upstream === own || exchange.response.headersSent || !needsCredential(error))
        throw error;
      exchange.askBy(own);
      try {
        await serve();
      } catch (denied) {
        // What is not there for anybody is not there, whatever this credential is for.
        throw answerIn(error) === 404 && answerIn(denied) !== undefined ? error : denied;
      }
    }
  } catch (error) {
    const answer = answerIn(error);
    // A registry may refuse strangers at its token service, with a 403; to somebody whom it knows that is its last word.
    const isStranger = exchange.scope.upstream !== own;
    const helps = answer === 401 || (answer === 403 && isStranger);
    if (!mayLogIn || exchange.response.headersSent || !helps) throw error;
    const challenge = await upstream.challenge(repository, exchange.signal);
    if (challenge === undefined) throw error;
    throw new LoginNeeded({ host: upstream.host, repository, challenge }, { cause: error });
  }
}

/** The answer might be another one to somebody whom the registry knows. */
function needsCredential(error: unknown): boolean {
  return error instanceof LoopbackOnly || error instanceof RuleMissing || NEEDS.has(answerIn(error) ?? 200);
}

/** The status that the registry has answered with, within an error. */
function answerIn(error: unknown): number | undefined {
  return error instanceof OriginAnswered ? error.params.status : originErrorIn(error)?.answer;
}
