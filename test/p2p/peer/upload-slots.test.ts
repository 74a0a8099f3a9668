import t from 'tap';
import type { PressureLevel } from '../../../src/base/pressure.ts';
import { UploadSlots } from '../../../src/p2p/peer/upload-slots.ts';

t.test('twice the slots, and one more for a blob of one piece', (t) => {
  const slots = new UploadSlots(2);
  const held = Array.from({ length: 4 }, () => slots.take({ onePiece: false }));
  t.ok(held.every((release) => release !== undefined));
  t.equal(slots.take({ onePiece: false }), undefined, 'busy');
  const small = slots.take({ onePiece: true });
  t.ok(small);
  t.equal(slots.take({ onePiece: true }), undefined, 'one more, not two');
  t.equal(slots.used, 5);

  held[0]!();
  held[0]!();
  t.equal(slots.used, 4, 'given back once');
  t.equal(slots.take({ onePiece: false }), undefined, 'the small one stands in its place');
  small!();
  t.ok(slots.take({ onePiece: false }));
  t.end();
});

t.test('four unless told otherwise', (t) => {
  const slots = new UploadSlots();
  for (let i = 0; i < 8; i += 1) t.ok(slots.take({ onePiece: false }));
  t.notOk(slots.take({ onePiece: false }));
  t.end();
});

t.test('one while the node is short of something, whatever the blob', (t) => {
  const pressure: { level: PressureLevel } = { level: 'none' };
  const slots = new UploadSlots(4, pressure);
  const [first] = [slots.take({ onePiece: false }), slots.take({ onePiece: false })];
  pressure.level = 'uploads';
  t.notOk(slots.take({ onePiece: true }), 'those that run go on, no more begin');
  first!();
  t.notOk(slots.take({ onePiece: false }));
  pressure.level = 'none';
  t.ok(slots.take({ onePiece: false }), 'over');
  t.end();
});
