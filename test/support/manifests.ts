import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { parseAllDocuments } from 'yaml';

export const ROOT = resolve(import.meta.dirname, '../../..');

/** An object of Kubernetes, as far as all are alike. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [part: string]: unknown;
}

/** What a text of YAML documents holds, empty ones left out. Throws for what is no YAML. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { version: '1.1' }).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    const manifest = document.toJS() as Manifest | null;
    return manifest ? [manifest] : [];
  });
}

/** Those of config/kubernetes. */
export function plainManifests(): Manifest[] {
  const dir = join(ROOT, 'config/kubernetes');
  return readdirSync(dir)
    .filter((name) => name.endsWith('.yaml'))
    .toSorted()
    .flatMap((name) => parseManifests(readFileSync(join(dir, name), 'utf8')));
}

export const titleOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`;

/**
 * What is wrong with manifests by the OpenAPI schemas of Kubernetes, as the types that are made of them hold it: fields that it does
 * not know, that are missing, or of another type. Each is written as a literal, which TypeScript lets have no field too many.
 */
export function schemaErrors(manifests: readonly Manifest[]): string[] {
  const file = join(ROOT, 'test/kubernetes/manifests-as-literals.ts');
  const lines = manifests.flatMap((manifest, i) => [
    `import type { I${manifest.kind} as Type${i} } from 'kubernetes-models/${manifest.apiVersion}/${manifest.kind}';`,
    `export const value${i}: Type${i} = ${JSON.stringify(manifest, undefined, 1)};`,
  ]);
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    target: ts.ScriptTarget.ES2022,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const disk = { ...host };
  const text = lines.join('\n');
  host.fileExists = (name) => name === file || disk.fileExists(name);
  host.readFile = (name) => (name === file ? text : disk.readFile(name));
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, text, options.target!) : disk.getSourceFile(name, ...rest);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start = 0 }) => {
    const line = text.slice(0, start).split('\n').length;
    return `${lines.join('\n').split('\n')[line - 1]?.trim()}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}
