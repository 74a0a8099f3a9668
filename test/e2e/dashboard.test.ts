/**
 * The dashboard in a real browser, headless Chromium: what is on the page is what the API says, as peers come and go; hostile names
 * stay text; light, dark and narrow; no word in the console. HAWKER_E2E_WRITE=1 (`--write`) takes the pictures of docs/images anew.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { Demo } from '../../src/app/demo/demo.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { PAGE_ROWS } from '../../src/dashboard/page/rows.ts';
import { DashboardScene } from '../support/dashboard-scene.ts';
import { Client } from '../support/session-client.ts';
import { e2e, type Rig } from './support/rig.ts';
import { until } from './support/wait.ts';

const BOUND_MS = 20_000;
const IMAGES = fileURLToPath(new URL('../../../docs/images/', import.meta.url));
const WRITES = process.env['HAWKER_E2E_WRITE'] === '1';
const WIDE = { width: 1200, height: 900 };
const PHONE = { width: 390, height: 844 };
const EVIL = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

interface Shown {
  readonly page: Page;
  /** What the console and the page had to say: nothing, if all is well. */
  readonly said: string[];
}

async function openBrowser(rig: Rig): Promise<Browser> {
  const executablePath = '/usr/bin/chromium';
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server'];
  const browser = await chromium.launch({ executablePath, args, timeout: BOUND_MS });
  rig.onClose(() => browser.close());
  return browser;
}

async function show(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Shown> {
  const context = await browser.newContext({ viewport: WIDE, colorScheme: 'light', ...options });
  context.setDefaultTimeout(BOUND_MS);
  const page = await context.newPage();
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) said.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await page.locator('.connection.live').waitFor();
  return { page, said };
}

interface PeerAnswer {
  readonly id: string;
  readonly host: string;
  readonly state: string;
  readonly reason: string;
  readonly zone: string;
  readonly version: string;
  readonly blobs: number;
}

async function api<T>(url: string, path: string): Promise<T> {
  return (await (await fetch(`${url}/api/v1/${path}`)).json()) as T;
}

/** Rows of the table of peers: each cell's text. */
async function rowsOf(page: Page): Promise<Map<string, string[]>> {
  const rows = (await page.evaluate(
    `[...document.querySelectorAll('tr[data-peer]')].map((row) => [row.dataset.peer, [...row.cells].map((cell) => cell.innerText.trim())])`,
  )) as [string, string[]][];
  return new Map(rows);
}

function cellsOf({ id, host, state, reason, zone, version, blobs }: PeerAnswer): (string | RegExp)[] {
  const both = (first: string, second: string) => (second === '' ? first : `${first}\n${second}`);
  return [`${host}\n${id}`, both(state, reason), zone === '' ? '–' : zone, version, /ago|now/, String(blobs)];
}

/** Waits until the page's table is the API's list. */
async function same(t: Test, what: string, { page }: Shown, url: string): Promise<void> {
  let seen: unknown;
  const agrees = async () => {
    const { peers } = await api<{ peers: PeerAnswer[] }>(url, 'peers');
    const rows = await rowsOf(page);
    seen = { peers, rows: [...rows] };
    return (
      rows.size === peers.length &&
      peers.every((peer) => {
        const row = rows.get(peer.id);
        return cellsOf(peer).every((cell, index) =>
          typeof cell === 'string' ? cell === row?.[index] : cell.test(row?.[index] ?? ''),
        );
      })
    );
  };
  await until(what, BOUND_MS, agrees).catch((error: unknown) => {
    t.comment(JSON.stringify(seen, undefined, 1));
    throw error;
  });
  t.pass(what);
}

async function scrollsSideways(page: Page): Promise<boolean> {
  return (await page.evaluate(
    'document.documentElement.scrollWidth > document.documentElement.clientWidth',
  )) as boolean;
}

/** The first of the bytes that tiles have as their title, by the tile's class. */
async function tilesOf(page: Page): Promise<Record<string, number>> {
  return (await page.evaluate(
    `Object.fromEntries([...document.querySelectorAll('.tile')].map((tile) => [tile.classList[1], Number.parseInt(tile.querySelector('dd').title, 10)]))`,
  )) as Record<string, number>;
}

e2e(
  t,
  'peers that come and go, those that are kept out, and names that are meant to do harm',
  ['chromium'],
  async (t, rig) => {
    const scene = await DashboardScene.start(t);
    const shown = await show(await openBrowser(rig), scene.url);
    const { page, said } = shown;
    t.equal(await page.locator('h1').innerText(), '0 peers ready');
    t.match(await page.locator('.why').innerText(), /No proxy has tried to register.*hawker doctor/s);

    const stranger = new Client(t, scene.url);
    await stranger.hello({ protocol: '9.0', host: EVIL, peer: 'peer-evil' });
    await until('it is refused', BOUND_MS, () => stranger.closedWith !== undefined);
    await page.getByRole('heading', { name: 'Why no peer is ready' }).waitFor();
    const { rejected } = await api<{ rejected: { code: string; message: string; count: number; host: string }[] }>(
      scene.url,
      'peers',
    );
    t.equal(rejected.length, 1);
    const why = page.locator('.why li');
    await until('the cause is shown', BOUND_MS, async () => (await why.count()) === 1);
    t.match(await why.innerText(), rejected[0]!.code);
    t.ok((await why.innerText()).includes(rejected[0]!.message));
    const table = page.getByRole('table', { name: 'Rejected registrations' });
    t.equal(await table.getByRole('cell').nth(1).innerText(), rejected[0]!.host, 'the name is text');

    const one = await scene.join(EVIL, { zone: '<b>east</b>' });
    await scene.join('node-2', { reachable: false, zone: 'west' });
    scene.announce(one, 'a blob', 3);
    await same(t, 'both are there, as the API says', shown, scene.url);
    t.equal(await page.locator('.why').count(), 0);
    const digest = scene.want(one, 'a layer', 20, 5);
    const bar = page.getByRole('progressbar');
    await until('the bar is there', BOUND_MS, async () => (await bar.count()) === 1);
    t.same([await bar.getAttribute('max'), await bar.getAttribute('value')], ['20', '5']);

    await page.locator('.card h3 a').click();
    t.ok((await page.locator('h1').innerText()).includes(digest));
    await page.getByRole('heading', { name: '1 peer downloading' }).waitFor();
    await page.locator('.bars a').click();
    await page.locator('.facts').waitFor();
    t.equal(await page.locator('h1').innerText(), EVIL);
    t.equal(await page.evaluate('document.activeElement.tagName'), 'H1', 'who goes by keys begins at the head');
    await page.goBack();
    await page.goBack();

    one.say({ t: 'bye' });
    one.ws.close();
    await same(t, 'one has left, as the API says', shown, scene.url);
    t.equal(await page.title(), 'Hawker', 'nothing of a name was run');
    t.equal(await page.locator('img, td b').count(), 0);
    t.same(said, []);
  },
);

e2e(t, 'a thousand peers: a hundred rows at a time, found, sorted, by keys alone', ['chromium'], async (t, rig) => {
  const scene = await DashboardScene.start(t);
  const hosts = Array.from({ length: 1000 }, (_, number) => `node-${String(number).padStart(4, '0')}`);
  while (hosts.length > 0) {
    const some = hosts.splice(0, 50);
    await Promise.all(some.map((host, index) => scene.join(host, { zone: index % 2 === 0 ? 'east' : 'west' })));
  }
  const { page, said } = await show(await openBrowser(rig), scene.url);
  await page.getByRole('heading', { name: '1,000 peers ready' }).waitFor();
  const rows = page.locator('tr[data-peer]');
  t.equal(await rows.count(), PAGE_ROWS);
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('page 2 of 10').waitFor();
  await page.getByRole('columnheader', { name: 'Peer' }).getByRole('button').press('Enter');
  await page.getByRole('columnheader', { name: 'Peer' }).getByRole('button').press('Enter');
  t.equal(await page.getByRole('columnheader', { name: 'Peer' }).getAttribute('aria-sort'), 'descending');
  t.match(await rows.first().innerText(), 'node-0999');
  await page.getByRole('searchbox').fill('node-0123');
  await until('it is found', BOUND_MS, async () => (await rows.count()) === 1);
  t.match(await rows.innerText(), 'node-0123');
  t.equal(await page.locator('#found').innerText(), '1 of 1,000 peers');
  t.same(said, []);
});

e2e(t, 'real proxies: the bytes are those of their metrics', ['chromium'], async (t, rig) => {
  const stop = new AbortController();
  const demo = await Demo.start({
    nodes: 3,
    imageBytes: 48 * MiB,
    unpulled: false,
    log: silentLogger,
    signal: stop.signal,
  });
  rig.onClose(() => demo.stop());
  const shown = await show(await openBrowser(rig), demo.supernode);
  let mostBars = 0;
  const { originBytes } = await demo.pull(() => {
    void shown.page
      .locator('.card progress')
      .count()
      .then((bars) => (mostBars = Math.max(mostBars, bars)));
  });
  t.ok(mostBars > 0, `${mostBars} bars while they filled`);
  await same(t, 'the peers and what they hold are as the API says', shown, demo.supernode);
  const sums: Record<string, number> = { store: 0, peers: 0, origin: 0, read: 0 };
  for (const { api } of demo.nodes) {
    const text = await (await fetch(`${api}/metrics`)).text();
    for (const [, source, bytes] of text.matchAll(/^hawker_client_bytes_total\{source="(\w+)".*\} (\d+)$/gm))
      sums[source!]! += Number(bytes);
    for (const [, bytes] of text.matchAll(/^hawker_origin_bytes_total\{.*\} (\d+)$/gm)) sums['read']! += Number(bytes);
  }
  const saved = sums['store']! + sums['peers']! + sums['origin']! - sums['read']!;
  t.ok(saved > originBytes, `${saved} bytes saved, ${originBytes} sent by the origin`);
  const wanted = { ...sums, saved };
  await until('the tiles say so', BOUND_MS, async () => {
    const tiles = await tilesOf(shown.page);
    return Object.entries(wanted).every(([name, bytes]) => tiles[name] === bytes);
  });
  t.pass('bytes by source, read and saved, to the byte');
  t.same(shown.said, []);
});

/** A cluster that pulls an image: some have it, some are filling, one is out of reach, one has left, some are kept out. */
async function busyCluster(t: Test): Promise<DashboardScene> {
  const steps = 150;
  const scene = await DashboardScene.start(t, steps * 5000);
  const zones = ['fra-1', 'fra-2', 'ams-1'];
  const clients: Client[] = [];
  for (let number = 1; number <= 14; number += 1)
    clients.push(await scene.join(`node-${String(number).padStart(2, '0')}`, { zone: zones[number % 3]! }));
  await scene.join('node-15', { zone: 'ams-1', reachable: false });
  const leaver = await scene.join('node-16', { zone: 'fra-1' });
  for (const host of ['node-21', 'node-21', 'node-22']) {
    const stranger = new Client(t, scene.url);
    await stranger.hello({ protocol: '9.0', host, peer: `peer-${host}` });
    await until('it is refused', BOUND_MS, () => stranger.closedWith !== undefined);
  }
  const sums = clients.map(() => [0, 0, 0, 0]);
  for (let step = 0; step < steps; step += 1) {
    const load = 1 + Math.sin(step / 9) + (step % 40 < 8 ? 2.5 : 0);
    for (const [index, sum] of sums.entries()) {
      const share = (load * (1 + ((index * 7 + step) % 5))) / 5;
      const origin = step % 40 < 6 ? share * 4 : share * 0.3;
      sum[0]! += Math.round(share * 22 * MiB);
      sum[1]! += Math.round(share * (step % 40 < 8 ? 60 : 12) * MiB);
      sum[2]! += Math.round(origin * MiB);
      sum[3] = sum[2]!;
    }
    await scene.beat(clients.map((client, index) => [client, [...sums[index]!]] as const));
  }
  leaver.say({ t: 'bye' });
  leaver.ws.close();
  for (const [index, client] of clients.entries()) {
    for (let blob = 0; blob < 3 + (index % 4); blob += 1) scene.announce(client, `old ${blob}`, 12);
    if (index < 3) scene.announce(client, 'layer 1', 96);
    else if (index < 10) scene.want(client, 'layer 1', 96, 8 + ((index * 29) % 84));
    if (index > 5) scene.want(client, 'layer 2', 40, (index * 11) % 40);
  }
  return scene;
}

e2e(t, 'light, dark and narrow', ['chromium'], async (t, rig) => {
  const scene = await busyCluster(t);
  const browser = await openBrowser(rig);
  await mkdir(IMAGES, { recursive: true });
  const views: [string, BrowserContextOptions][] = [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { viewport: PHONE, isMobile: true, hasTouch: true }],
  ];
  const backs = new Set<string>();
  for (const [name, options] of views) {
    const shown = await show(browser, scene.url, options);
    await until('the swarms are there', BOUND_MS, async () => (await shown.page.locator('.card').count()) === 2);
    await same(t, `${name}: as the API says`, shown, scene.url);
    t.notOk(await scrollsSideways(shown.page), `${name}: nothing sticks out`);
    const back = (await shown.page.evaluate('getComputedStyle(document.body).backgroundColor')) as string;
    if (name !== 'phone') backs.add(back);
    const path = WRITES ? join(IMAGES, `dashboard-${name}.png`) : join(rig.dir, `${name}.png`);
    await shown.page.screenshot({ path });
    for (const link of ['tr[data-peer] a', '.card h3 a']) {
      await shown.page.locator(link).first().click();
      await shown.page.locator('.facts, .bars.wide').first().waitFor();
      t.notOk(await scrollsSideways(shown.page), `${name}: nor on the page of one`);
      await shown.page.goBack();
      await shown.page.locator('.counts').waitFor();
    }
    t.same(shown.said, [], `${name}: not a word in the console`);
    await shown.page.context().close();
  }
  t.equal(backs.size, 2, 'dark is not light');
});
