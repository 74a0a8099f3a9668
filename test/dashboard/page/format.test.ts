import t from 'tap';
import {
  agoText,
  countText,
  percentText,
  roundUp,
  shortDigest,
  sizeText,
  skewText,
  timeText,
} from '../../../src/dashboard/page/format.ts';

t.test('sizes, shares and counts as people read them', async (t) => {
  t.same([0, 1023, 1024, 1536, 150 * 1024, 5 * 2 ** 30, 2 ** 62].map(sizeText), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '150 KiB',
    '5.0 GiB',
    '4096 PiB',
  ]);
  t.same(
    [percentText(0, 0), percentText(0, 9), percentText(1, 101), percentText(2, 3), percentText(3, 3)],
    ['0 %', '0 %', 'under 1 %', '66 %', '100 %'],
  );
  t.same(
    [countText(1, 'peer'), countText(0, 'peer'), countText(1200, 'peer has', 'peers have')],
    ['1 peer', '0 peers', '1,200 peers have'],
  );
  t.equal(shortDigest(`sha256:${'ab'.repeat(32)}`), 'sha256:abababababab');
});

t.test('ages; a clock that is behind makes none negative', async (t) => {
  const now = Date.UTC(2026, 0, 2);
  const ago = (seconds: number) => agoText(new Date(now - seconds * 1000).toISOString(), now);
  t.same([-5, 3, 59, 60, 7199, 7200, 200_000].map(ago), [
    'just now',
    'just now',
    'under 1 min ago',
    '1 min ago',
    '1 h ago',
    '2 h ago',
    '2 d ago',
  ]);
});

t.test('axes end at a round figure', async (t) => {
  t.same([0, 1, 3, 201, 501, 513, 3 * 2 ** 20].map(roundUp), [1, 1, 5, 500, 1024, 1024, 5 * 2 ** 20]);
});

t.test('clocks and times', async (t) => {
  t.same([0, -99, 1500, -61_000, 3_600_000].map(skewText), [
    'within 0.1 s',
    'within 0.1 s',
    '1.5 s ahead',
    '61.0 s behind',
    '3,600 s ahead',
  ]);
  t.match(timeText('2026-01-02T12:00:00.000Z'), /^\d Jan 2026, \d\d:00:00$/);
});
