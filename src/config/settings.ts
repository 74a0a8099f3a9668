import { ConfigSchema, type Annotations } from './schema.ts';

/** One thing that can be set, with its names in the file, in the environment and on the command line. */
export interface Setting {
  readonly path: readonly string[];
  /** Dotted, as messages name it: `proxy.defaultUpstream`. */
  readonly key: string;
  /** `HAWKER_PROXY_DEFAULT_UPSTREAM`. */
  readonly variable: string;
  /** Without its dashes: `default-upstream`. Lists of maps, and maps, have none. */
  readonly flag: string | undefined;
  /**
   * How it is written as a variable or flag: plain text as it stands; a list of texts with commas between them, or as YAML or
   * JSON in brackets; any other list and a map as YAML or JSON.
   */
  readonly kind: 'text' | 'texts' | 'tree';
  readonly description: string;
  /** As it is written; undefined where there is none. */
  readonly default: unknown;
}

/** A JSON schema as far as this room reads it. */
export type SchemaNode = Annotations & {
  readonly type: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | false;
  readonly items?: SchemaNode;
};

export const ROOT = ConfigSchema as unknown as SchemaNode;

/** Every setting, in the order of the schema. */
export const SETTINGS: readonly Setting[] = leaves(ROOT, []);

function leaves(node: SchemaNode, path: readonly string[]): Setting[] {
  if (node.properties)
    return Object.entries(node.properties).flatMap(([name, child]) => leaves(child, [...path, name]));
  return [
    {
      path,
      key: dotted(path),
      variable: `HAWKER_${path.map(upperSnake).join('_')}`,
      flag: node.flag,
      kind: node.type === 'string' ? 'text' : node.items?.type === 'string' ? 'texts' : 'tree',
      description: node.description ?? '',
      default: node.default,
    },
  ];
}

/** `proxy.listeners[0].listen` */
export function dotted(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}

function upperSnake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
