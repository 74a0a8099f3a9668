import t from 'tap';
import { asError, CodedError, codedError, codeOf, describeError } from '../../src/base/errors.ts';

const Locked = codedError('STORE_LOCKED', {
  message: (p: { dir: string }) => `another process uses ${p.dir}`,
  todo: (p) => `give this one another directory than ${p.dir}`,
});

t.test('a coded error: code, message, what to do, what it was made of', (t) => {
  const cause = new Error('why');
  const error = new Locked({ dir: '/x' }, { cause });
  t.ok(error instanceof CodedError && error instanceof Locked && error instanceof Error);
  t.match(error, {
    code: 'STORE_LOCKED',
    name: 'STORE_LOCKED',
    message: 'another process uses /x',
    params: { dir: '/x' },
  });
  t.equal(error.todo, 'give this one another directory than /x');
  t.equal(error.cause, cause);
  t.equal(Locked.code, 'STORE_LOCKED');
  t.match(error.stack, /errors\.test/);
  const Plain = codedError('PLAIN', { message: () => 'plain', todo: 'nothing' });
  t.equal(new Plain(undefined).todo, 'nothing');
  t.notOk(error instanceof Plain);
  t.end();
});

t.test('the code of whatever was thrown', (t) => {
  t.equal(codeOf(new Locked({ dir: '' })), 'STORE_LOCKED');
  t.equal(codeOf(Object.assign(new Error('x'), { code: 'ENOSPC' })), 'ENOSPC');
  for (const other of [new Error('x'), undefined, null, 'text', 5, { code: 5 }]) t.equal(codeOf(other), 'UNKNOWN');
  t.end();
});

t.test('a description is one line, and says nothing twice', (t) => {
  const nested = new Error('outer', { cause: new Error('middle', { cause: new Error('inner') }) });
  t.equal(describeError(nested), 'outer: middle: inner');
  t.equal(
    describeError(new Error('cannot read: no such file', { cause: new Error('no such file') })),
    'cannot read: no such file',
  );
  t.equal(describeError(new Error('two\n  lines')), 'two lines');
  t.equal(
    describeError(Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })),
    'ECONNREFUSED',
    'no message: the code',
  );
  t.equal(describeError('text'), 'text');
  t.equal(describeError({ code: 'X' }), 'X');
  t.equal(describeError(undefined), '');
  const loop = new Error('loop');
  loop.cause = loop;
  t.equal(describeError(loop), 'loop', 'a circle of causes ends');
  t.end();
});

t.test('asError keeps errors and wraps the rest', (t) => {
  const error = new Error('x');
  t.equal(asError(error), error);
  t.equal(asError('text').message, 'text');
  t.end();
});
