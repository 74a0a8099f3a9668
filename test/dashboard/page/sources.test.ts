import t from 'tap';
import { Metrics } from '../../../src/base/metrics.ts';
import { LABELS, SOURCES } from '../../../src/dashboard/page/sources.ts';

t.test('the page names where bytes come from in the order in which nodes count them', async (t) => {
  for (const [index, source] of SOURCES.entries()) {
    const metrics = new Metrics();
    metrics.sentToClient(source, 5);
    const totals = metrics.byteTotals();
    t.equal(totals[index], 5, source);
    t.equal(
      totals.reduce((sum, bytes) => sum + bytes, 0),
      5,
    );
  }
  t.same(Object.keys(LABELS), SOURCES);
});
