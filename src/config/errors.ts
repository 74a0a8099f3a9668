import { codedError } from '../base/errors.ts';

/** What is wrong with the configuration. `place` is file:line:column, a flag, or a variable. */
export const ConfigUnreadable = codedError('CONFIG_UNREADABLE', {
  message: (p: { place: string; why: string }) => `the configuration ${p.place} cannot be read: ${p.why}`,
  todo: 'give --config the path of a YAML file that this user can read',
});

export const ConfigSyntax = codedError('CONFIG_SYNTAX', {
  message: (p: { place: string; why: string }) => `${p.place}: ${p.why}`,
  todo: 'text with [ ] { } * & # or a colon and a space in it needs quotes; config/hawker.yaml shows how it is written',
});

export const ConfigUnknownKey = codedError('CONFIG_UNKNOWN_KEY', {
  message: (p: { key: string; place: string; todo: string }) => `${p.key} is not a setting (${p.place})`,
  todo: (p) => p.todo,
});

export const ConfigInvalid = codedError('CONFIG_INVALID', {
  message: (p: { key: string; place: string; why: string; allowed: string }) => `${p.key} ${p.why} (${p.place})`,
  todo: (p) => `allowed: ${p.allowed}`,
});

/** A secret would be open to others, or a port to strangers. */
export const ConfigRefused = codedError('CONFIG_REFUSED', {
  message: (p: { key: string; place: string; why: string; todo: string }) => `${p.key} ${p.why} (${p.place})`,
  todo: (p) => p.todo,
});

const CLASSES = [ConfigUnreadable, ConfigSyntax, ConfigUnknownKey, ConfigInvalid, ConfigRefused];

/** The configuration is at fault, not the machine: exit status 2. */
export function isConfigError(error: unknown): boolean {
  return CLASSES.some((c) => error instanceof c);
}
