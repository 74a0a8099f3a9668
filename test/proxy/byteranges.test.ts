import t from 'tap';
import { planByteranges } from '../../src/proxy/byteranges.ts';

t.test('the planned length is that of the body', (t) => {
  const bytes = 'abcdefghij';
  const slices = [
    { start: 0, end: 2 },
    { start: 8, end: 10 },
  ];
  const plan = planByteranges(slices, bytes.length, 'text/x', 'BOUND');
  const body =
    plan.parts.map(({ preamble, slice }) => preamble + bytes.slice(slice.start, slice.end)).join('') + plan.epilogue;
  t.equal(
    body,
    '--BOUND\r\nContent-Type: text/x\r\nContent-Range: bytes 0-1/10\r\n\r\nab' +
      '\r\n--BOUND\r\nContent-Type: text/x\r\nContent-Range: bytes 8-9/10\r\n\r\nij' +
      '\r\n--BOUND--\r\n',
  );
  t.equal(plan.length, body.length);
  t.equal(plan.contentType, 'multipart/byteranges; boundary=BOUND');
  t.not(planByteranges(slices, 10, 'text/x').contentType, planByteranges(slices, 10, 'text/x').contentType);
  t.end();
});
