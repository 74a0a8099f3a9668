import { Ajv, type ErrorObject } from 'ajv';
import { ConfigInvalid, ConfigUnknownKey } from './errors.ts';
import { FORMATS, type FormatName } from './formats.ts';
import { dotted, ROOT, SETTINGS, type SchemaNode } from './settings.ts';
import { nearest } from './suggest.ts';
import type { Path } from './yaml.ts';

/** Where something was set, for messages: the key itself, or its value. */
export type PlaceOf = (path: Path, part: 'key' | 'value') => string;

/** Longer values are cut in messages. */
const SHOWN_CHARACTERS = 60;

/** A URL may have been written with a password in it. */
const URL_FORMATS: ReadonlySet<string> = new Set<FormatName>(['egress', 'origin', 'supernode']);

const ajv = new Ajv({ allErrors: false, verbose: true, strict: true });
ajv.addVocabulary(['what', 'allowed', 'flag']);
for (const [name, format] of Object.entries(FORMATS)) ajv.addFormat(name, { type: 'string', validate: format.test });
const validate = ajv.compile(ROOT);

/** Checks what one layer says. Throws CONFIG_UNKNOWN_KEY or CONFIG_INVALID for the first thing that is wrong. */
export function check(value: unknown, placeOf: PlaceOf): void {
  if (validate(value)) return;
  const error = validate.errors![0]!;
  const path = pathOf(error.instancePath, value);
  if (error.keyword === 'additionalProperties') {
    throw unknownKey([...path, String(error.params['additionalProperty'])], error.parentSchema as SchemaNode, placeOf);
  }
  if (error.keyword === 'required') throw missing([...path, String(error.params['missingProperty'])], error, placeOf);
  const { what, allowed } = error.parentSchema as SchemaNode;
  if (error.propertyName !== undefined) {
    const name = error.propertyName.replace(/^.*@/s, '…@');
    const full = [...path, name];
    throw new ConfigInvalid({
      key: dotted(full),
      place: placeOf([...path, error.propertyName], 'key'),
      why: `is not ${what}`,
      allowed,
    });
  }
  const why = `is ${show(error)}, which is not ${what}`;
  throw new ConfigInvalid({ key: dotted(path) || 'the configuration', place: placeOf(path, 'value'), why, allowed });
}

function unknownKey(path: Path, parent: SchemaNode, placeOf: PlaceOf) {
  // A line without the blank behind its colon is all key, its value too.
  const key = dotted(path).replace(/([:=@]).*$/s, '$1…');
  const here = Object.keys(parent.properties ?? {});
  const name = String(path.at(-1));
  const beside = nearest(name, here);
  const elsewhere = SETTINGS.find((s) => s.path.at(-1)?.toLowerCase() === name.toLowerCase())?.key;
  const meant = beside === undefined ? elsewhere : dotted([...path.slice(0, -1), beside]);
  const todo = `${meant === undefined ? '' : `did you mean ${meant}? `}allowed here: ${here.join(', ')}`;
  return new ConfigUnknownKey({ key, place: placeOf(path, 'key'), todo });
}

function missing(path: Path, error: ErrorObject, placeOf: PlaceOf) {
  const { properties = {} } = error.parentSchema as SchemaNode;
  const allowed = properties[String(path.at(-1))]!.allowed;
  return new ConfigInvalid({
    key: dotted(path),
    place: placeOf(path.slice(0, -1), 'value'),
    why: 'is missing',
    allowed,
  });
}

/** The value as it was written, unless it may hold a credential. */
function show({ data, schema, keyword }: ErrorObject): string {
  if (data === null) return 'empty';
  if (Array.isArray(data)) return 'a list';
  if (typeof data === 'object') return 'a map';
  // A line without the blank behind its colon is a text where a map should be.
  if (keyword === 'type' && schema === 'object' && typeof data === 'string') return 'a text';
  if (keyword === 'format' && URL_FORMATS.has(String(schema))) return 'a text';
  const text = JSON.stringify(data);
  if (text.includes('@')) return 'a text with an @ in it';
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

/** A JSON pointer (RFC 6901) as a path; steps into lists become numbers. */
function pathOf(pointer: string, root: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  let here = root;
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(here) ? Number(name) : name);
    here = (here as Record<string, unknown>)[name];
  }
  return path;
}
