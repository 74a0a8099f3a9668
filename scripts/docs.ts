/** `npm run docs`: writes the parts of the documentation that are made from the code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { madeParts, pageAsMade } from './docs/pages.ts';

const root = process.cwd();
for (const [page, parts] of madeParts(root)) {
  const text = await pageAsMade(root, page, parts);
  const hasChanged = text !== readFileSync(page, 'utf8');
  if (hasChanged) writeFileSync(page, text);
  process.stdout.write(`${page}${hasChanged ? ': written' : ''}\n`);
}
