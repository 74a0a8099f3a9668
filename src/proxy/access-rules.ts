import { compileGlob } from '../base/glob.ts';
import { LOOPBACK } from '../base/user-name.ts';
import type { Asker } from './asker.ts';
import type { Scope } from './namespace.ts';

/** Who may use the configured credentials for what. */
export interface RuleSettings {
  /** Names of users, and patterns of them; `loopback`: every client on this machine. */
  readonly users: readonly string[];
  /** Patterns of `host/repository`. */
  readonly repositories: readonly string[];
}

interface Rule {
  readonly hasLoopback: boolean;
  readonly users: readonly ((name: string) => boolean)[];
  readonly repositories: readonly ((name: string) => boolean)[];
}

/**
 * Who may read what with the configured credentials: a user what any rule says that names him; a client on this machine
 * everything, unless a rule names `loopback`, then what those rules say; anybody else nothing.
 */
export class AccessRules {
  #rules: readonly Rule[];
  /** Some rule says what clients on this machine may read. */
  #ruleLoopback = false;

  constructor(settings: readonly RuleSettings[]) {
    this.#rules = [];
    this.replace(settings);
  }

  /** From here on these count. */
  replace(settings: readonly RuleSettings[]): void {
    this.#rules = settings.map(({ users, repositories }) => ({
      hasLoopback: users.includes(LOOPBACK),
      users: users.filter((user) => user !== LOOPBACK).map(compileGlob),
      repositories: repositories.map(compileGlob),
    }));
    this.#ruleLoopback = this.#rules.some(({ hasLoopback }) => hasLoopback);
  }

  allow({ isLocal, user }: Asker, { upstream, repository }: Pick<Scope, 'upstream' | 'repository'>): boolean {
    if (isLocal && !this.#ruleLoopback) return true;
    const name = `${upstream.host}/${repository}`;
    return this.#rules.some(
      (rule) =>
        ((isLocal && rule.hasLoopback) || (user !== undefined && rule.users.some((matches) => matches(user)))) &&
        rule.repositories.some((matches) => matches(name)),
    );
  }
}
