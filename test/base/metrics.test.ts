import t from 'tap';
import { Metrics } from '../../src/base/metrics.ts';

t.test('the names and labels that dashboards rely on', async (t) => {
  const metrics = new Metrics();
  metrics.clientBytes.inc({ source: 'store' }, 5);
  metrics.originBytes.inc({ upstream: 'docker.io' }, 6);
  metrics.originRequests.inc({ upstream: 'docker.io', method: 'GET', status: '200' });
  metrics.storeBytes.set(7);
  metrics.storeQuotaBytes.set(8);
  metrics.countDownloads(() => ({ active: 1, idle: 2 }));
  metrics.timeToFirstByte.observe({ source: 'origin' }, 0.2);
  metrics.httpRequests.inc({ handler: 'blob', status: '206' });
  metrics.buildInfo.set({ version: '1', protocol: '1.0' }, 1);
  const text = await metrics.registry.metrics();
  for (const line of [
    'hawker_client_bytes_total{source="store"} 5',
    'hawker_origin_bytes_total{upstream="docker.io"} 6',
    'hawker_origin_requests_total{upstream="docker.io",method="GET",status="200"} 1',
    'hawker_store_bytes 7',
    'hawker_store_quota_bytes 8',
    'hawker_downloads{state="active"} 1',
    'hawker_downloads{state="idle"} 2',
    'hawker_time_to_first_byte_seconds_bucket{le="0.25",source="origin"} 1',
    'hawker_http_requests_total{handler="blob",status="206"} 1',
    'hawker_build_info{version="1",protocol="1.0"} 1',
  ]) {
    t.ok(text.split('\n').includes(line), line);
  }
});

t.test('each has a registry of its own', async (t) => {
  const one = new Metrics();
  const other = new Metrics();
  one.storeBytes.set(1);
  t.notMatch(await other.registry.metrics(), /hawker_store_bytes 1/);
});

t.test('what is counted by source can be asked for without a scrape', async (t) => {
  const metrics = new Metrics();
  metrics.sentToClient('store', 1);
  metrics.sentToClient('peers', 2);
  metrics.sentToClient('origin', 3);
  metrics.sentToClient('origin', 4);
  metrics.readFromOrigin('docker.io', 5);
  t.same(metrics.byteTotals(), [1, 2, 7, 5]);
  const text = await metrics.registry.metrics();
  t.match(text, 'hawker_client_bytes_total{source="origin"} 7\n');
  t.match(text, 'hawker_origin_bytes_total{upstream="docker.io"} 5\n');
});
