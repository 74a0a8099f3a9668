import fc from 'fast-check';
import t from 'tap';
import { formatSize, formatTime, GiB, KiB, MiB, parseSize, parseTime } from '../../src/base/units.ts';

t.test('sizes', (t) => {
  const good: Record<string, number> = {
    '20GiB': 20 * GiB,
    '1.5 GB': 1.5e9,
    ' 512 MiB ': 512 * MiB,
    '1KB': 1000,
    '1KiB': 1024,
    '3TB': 3e12,
    '2TiB': 2048 * GiB,
    '10MB': 1e7,
    '7B': 7,
    '0': 0,
    '0.5KiB': 512,
    '0.0004KB': 0,
  };
  for (const [text, bytes] of Object.entries(good)) t.equal(parseSize(text), bytes, text);
  const bad = [
    '',
    '20',
    'GiB',
    '20 gib',
    '20gb',
    '20G',
    '-1GiB',
    '+1GiB',
    '1e3MB',
    '1,5GB',
    '1.GB',
    '.5GB',
    '1  GB',
    '9999999TiB',
    '5s',
    '20GiB x',
  ];
  for (const text of [...bad, '1constructor', '1toString']) t.equal(parseSize(text), undefined, text);
  t.end();
});

t.test('times', (t) => {
  const good: Record<string, number> = {
    '500ms': 500,
    '5s': 5000,
    '1.5m': 90_000,
    '24h': 86_400_000,
    '2d': 172_800_000,
    '0': 0,
    '0s': 0,
  };
  for (const [text, ms] of Object.entries(good)) t.equal(parseTime(text), ms, text);
  for (const text of ['', '5', 's', '5 sec', '-5s', '5S', '1w', '20GiB', 'Infinitys'])
    t.equal(parseTime(text), undefined, text);
  t.end();
});

t.test('sizes and times for people', (t) => {
  const sizes: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [20 * GiB, '20 GiB'],
    [15.4 * MiB, '15 MiB'],
    [5000 * GiB, '4.9 TiB'],
  ];
  for (const [bytes, text] of sizes) t.equal(formatSize(bytes), text);
  t.equal(formatSize(KiB ** 5), '1024 TiB', 'no unit above');
  const times: [number, string][] = [
    [0, '0 ms'],
    [850.4, '850 ms'],
    [12_340, '12.3 s'],
    [240_000, '4 min'],
  ];
  for (const [ms, text] of times) t.equal(formatTime(ms), text);
  t.end();
});

t.test('no text makes them throw, and what is shown is near what it was', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{1,8} ?[KMGTims]?i?[Bsmhd]?$/)), (text) => {
      for (const value of [parseSize(text), parseTime(text)]) {
        if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) return false;
      }
      return true;
    }),
  );
  fc.assert(
    fc.property(fc.nat(2 ** 48), (bytes) => {
      const shown = parseSize(formatSize(bytes))!;
      return Math.abs(shown - bytes) <= bytes * 0.06;
    }),
  );
  t.end();
});
