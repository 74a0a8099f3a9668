import t from 'tap';
import type { ProcessPort } from '../../src/cli/process-port.ts';
import { hasColour, terminalLook } from '../../src/cli/terminal.ts';

function portWith(environment: Record<string, string>, isTerminal = true, columns?: number): ProcessPort {
  return { environment, isTerminal, columns: () => columns } as unknown as ProcessPort;
}

t.test('bars are for terminals that can go back a line', (t) => {
  t.equal(terminalLook(portWith({}, false)), undefined);
  t.equal(terminalLook(portWith({ TERM: 'dumb' })), undefined);
  t.same(terminalLook(portWith({}))!(), { columns: 80, colour: true, unicode: false });
  const fine = portWith({ LANG: 'C', LC_ALL: 'de_DE.UTF-8', NO_COLOR: '1' }, true, 120);
  t.same(terminalLook(fine)!(), { columns: 120, colour: false, unicode: true });
  t.equal(terminalLook(portWith({ LANG: 'C.UTF-8', LC_CTYPE: 'C' }))!().unicode, false);
  t.same(
    [hasColour(portWith({})), hasColour(portWith({}, false)), hasColour(portWith({ NO_COLOR: '' }))],
    [true, false, true],
  );
  t.end();
});
