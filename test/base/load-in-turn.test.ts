import type { LoadFnOutput } from 'node:module';
import t from 'tap';
import { load } from '../../src/base/load-in-turn.ts';

t.test('modules of files are read at once, all else is left to Node', async (t) => {
  const given: LoadFnOutput = { format: 'commonjs' };
  const ask = (url: string, format: 'module' | 'commonjs') =>
    load(url, { conditions: [], format, importAssertions: {}, importAttributes: {} }, () => given);
  const own = await ask(import.meta.url, 'module');
  t.match(own, { format: 'module', shortCircuit: true });
  t.ok((own.source as Buffer).includes('left to Node'));
  t.equal(await ask(import.meta.url, 'commonjs'), given);
  t.equal(await ask('node:fs', 'module'), given);
});
