import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** How every code of more than one word is written. No other text in the sources may look so, but for what a test names. */
const CODE = /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/;
/** A code of one word looks like any other word: it counts where a code is expected. */
const ONE_WORD = /^[A-Z]{3,}$/;
/** Whose first argument is a code. */
const MAKERS = new Set(['codedError', 'originError', 'line']);
/** Whose keys are codes. */
const CATALOGUES = new Set(['REFUSALS']);

/** A call of a logger with a warning or worse. */
export interface Warning {
  readonly place: string;
  /** Its first argument, as it is written. */
  readonly fields: string;
}

/** Every stable code in the sources below `src`, with the places where it stands (`p2p/peer/errors.ts:15`), and every warning. */
export function readSources(src: string): { codes: Map<string, string[]>; warnings: Warning[] } {
  const codes = new Map<string, string[]>();
  const warnings: Warning[] = [];
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const trees = files.sort().map((name) => {
    const text = readFileSync(join(src, name), 'utf8');
    return ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  });
  for (const tree of trees) {
    visit(tree, (node) => {
      const place = `${tree.fileName}:${tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      for (const code of codesAt(node, trees)) codes.set(code, [...(codes.get(code) ?? []), place]);
      const fields = warningAt(node);
      if (fields !== undefined) warnings.push({ place, fields });
    });
  }
  return { codes, warnings };
}

function visit(node: ts.Node, take: (node: ts.Node) => void): void {
  take(node);
  ts.forEachChild(node, (child) => visit(child, take));
}

function codesAt(node: ts.Node, trees: readonly ts.SourceFile[]): string[] {
  if (ts.isTemplateExpression(node))
    return isCodeExpected(node) && /^[A-Z]/.test(node.head.text) ? templateCodes(node, trees) : [];
  const text = textOf(node);
  if (text === undefined) return [];
  return CODE.test(text) || (ONE_WORD.test(text) && isCodeExpected(node)) ? [text] : [];
}

/** Of a string, or of the name of a property. */
function textOf(node: ts.Node): string | undefined {
  if (ts.isStringLiteralLike(node)) return node.text;
  return ts.isIdentifier(node) && ts.isPropertyAssignment(node.parent) && node.parent.name === node
    ? node.text
    : undefined;
}

/** What templates of codes begin with, and the union of strings that ends them. */
const TEMPLATES: Readonly<Record<string, string>> = { PEER_: 'PeerState', RUNTIME_: 'runtime' };

function templateCodes(node: ts.TemplateExpression, trees: readonly ts.SourceFile[]): string[] {
  const union = TEMPLATES[node.head.text];
  const ends = union === undefined ? [] : trees.flatMap((tree) => literalsOf(tree, union));
  if (ends.length === 0) throw new Error(`which codes does ${node.getText()} stand for?`);
  return ends.map((end) => `${node.head.text}${end.toUpperCase()}`);
}

function isCodeExpected(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isConditionalExpression(parent) || ts.isAsExpression(parent)) return isCodeExpected(parent);
  if (ts.isReturnStatement(parent)) {
    const { parent: holder } = parent.parent;
    return ts.isFunctionDeclaration(holder) && holder.name?.text === 'codeOf';
  }
  if (ts.isCallExpression(parent)) return parent.arguments[0] === node && MAKERS.has(parent.expression.getText());
  if (ts.isPropertyAssignment(parent) && parent.name === node) {
    const holder = ts.isAsExpression(parent.parent.parent) ? parent.parent.parent.parent : parent.parent.parent;
    return ts.isVariableDeclaration(holder) && CATALOGUES.has(holder.name.getText());
  }
  const isNamed =
    ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent) || ts.isVariableDeclaration(parent);
  return isNamed && parent.initializer === node && parent.name.getText() === 'code';
}

/** The members of a union of strings, of a type or a property with that name. */
function literalsOf(tree: ts.SourceFile, name: string): string[] {
  const found: string[] = [];
  visit(tree, (node) => {
    const isNamed = ts.isTypeAliasDeclaration(node) || ts.isPropertySignature(node);
    if (!isNamed || node.name.getText() !== name || !node.type) return;
    visit(node.type, (member) => {
      if (ts.isStringLiteral(member)) found.push(member.text);
    });
  });
  return found;
}

function warningAt(node: ts.Node): string | undefined {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return undefined;
  const { name, expression } = node.expression;
  if (!['warn', 'error', 'fatal'].includes(name.text) || !/\blog$|#log$/.test(expression.getText())) return undefined;
  return node.arguments[0]?.getText();
}
