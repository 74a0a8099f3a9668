/**
 * The dashboard in a real browser, headless Chromium: what is on the page is what the API says, as peers come and go; hostile names
 * stay text; light, dark and narrow; for everybody (axe); behind a token; when the supernode comes back; no word in the console. HAWKER_E2E_WRITE=1 (`--write`) takes the pictures of docs/images anew.
 */
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { Demo } from '../../src/app/demo/demo.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { shortDigest } from '../../src/dashboard/page/format.ts';
import { PAGE_ROWS } from '../../src/dashboard/page/rows.ts';
import { DashboardScene } from '../support/dashboard-scene.ts';
import { Client } from '../support/session-client.ts';
import { busyCluster } from './support/busy-cluster.ts';
import { Hawker, listeningAddress, MAIN } from './support/hawker.ts';
import { freePort } from './support/ports.ts';
import { must } from './support/programs.ts';
import { e2e, type Rig } from './support/rig.ts';
import { smallPng } from './support/small-png.ts';
import { until } from './support/wait.ts';

const BOUND_MS = 20_000;
const IMAGES = fileURLToPath(new URL('../../../docs/images/', import.meta.url));
const WRITES = process.env['HAWKER_E2E_WRITE'] === '1';
const WIDE = { width: 1200, height: 900 };
const TALL = { width: 1200, height: 1340 };
const PHONE = { width: 375, height: 812 };
const MAX_PICTURE_BYTES = 150_000;
const AXE = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
const EVIL = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

interface Shown {
  readonly page: Page;
  /** What the console and the page had to say: nothing, if all is well. */
  readonly said: string[];
}

async function openBrowser(rig: Rig): Promise<Browser> {
  const executablePath = '/usr/bin/chromium';
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--disable-lcd-text'];
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

async function api<T>(url: string, path: string, headers = {}): Promise<T> {
  return (await (await fetch(`${url}/api/v1/${path}`, { headers })).json()) as T;
}

const words = (text: string) => text.trim().replaceAll(/\s+/g, ' ');

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
async function same(t: Test, what: string, { page }: Shown, url: string, headers = {}): Promise<void> {
  let seen: unknown;
  const agrees = async () => {
    const { peers } = await api<{ peers: PeerAnswer[] }>(url, 'peers', headers);
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

interface AxeAnswer {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
  readonly incomplete: AxeAnswer['violations'];
  readonly passes: AxeAnswer['violations'];
}

/**
 * What axe finds that would keep somebody from using the page: by screen reader, by keys, with weak eyes (each text has a contrast of
 * 4.5:1 with what is behind it, or it says so). Words of its own where it has not measured all of the texts.
 */
async function faultsOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const answer = (await page.evaluate('axe.run()')) as AxeAnswer;
  const { violations, incomplete, passes } = answer;
  const unsure = incomplete.filter(({ id }) => id === 'color-contrast');
  const faults = [...violations, ...unsure].map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  const measured = passes.find(({ id }) => id === 'color-contrast')?.nodes.length ?? 0;
  return measured > 10 ? faults : [...faults, `the contrast of ${measured} texts was measured`];
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
    t.same(await faultsOf(page), [], 'an empty page that everybody can use');
    t.match(
      await page.locator('.why').innerText(),
      new RegExp(
        `No proxy has tried to register.*hawker proxy --supernodes ${scene.url}.*hawker doctor.*supernode\\.listen`,
        's',
      ),
    );

    const stranger = new Client(t, scene.url);
    await stranger.hello({ protocol: '9.0', host: EVIL, peer: 'peer-evil' });
    await until('it is refused', BOUND_MS, () => stranger.closedWith !== undefined);
    await page.getByRole('heading', { name: 'Why no peer is ready' }).waitFor();
    const { rejected } = await api<{ rejected: { code: string; message: string; count: number; host: string }[] }>(
      scene.url,
      'peers',
    );
    t.equal(rejected.length, 1);
    const cause = page.locator('.why .cause');
    await until('the cause is shown', BOUND_MS, async () => (await cause.count()) === 1);
    const told = await cause.innerText();
    t.ok(told.includes(rejected[0]!.code) && told.includes(rejected[0]!.message), told);
    t.match(told, /To do: upgrade/, 'with what to do');
    t.same(await faultsOf(page), [], 'a page of causes that everybody can use');
    const table = page.getByRole('table', { name: 'Rejected registrations' });
    t.equal(await table.getByRole('cell').nth(1).innerText(), rejected[0]!.host, 'the name is text');

    const one = await scene.join(EVIL, { zone: '<b>east</b>' });
    await scene.join('node-2', { reachable: false, zone: 'west' });
    scene.announce(one, 'a blob', 3);
    await same(t, 'both are there, as the API says', shown, scene.url);
    await page.getByRole('heading', { name: 'Needs a look' }).waitFor();
    await until('both need a look', BOUND_MS, async () => {
      // A second look at the piece port, by others.
      await scene.clock.advance(1000);
      return (await cause.count()) === 2;
    });
    const look = (await cause.allInnerTexts()).map(words);
    t.match(look, [/1 rejected/, /^1 unreachable node-2: .* To do: .*peer\.advertise/]);
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
    t.equal(await page.locator('img, td > b, li > b > *').count(), 0);
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
  const order = page.getByRole('columnheader', { name: 'Peer' });
  await until('it is sorted', BOUND_MS, async () => (await order.getAttribute('aria-sort')) === 'descending');
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

e2e(t, 'light, dark and narrow', ['chromium'], async (t, rig) => {
  const scene = await busyCluster(t);
  const browser = await openBrowser(rig);
  await mkdir(IMAGES, { recursive: true });
  const views: [string, BrowserContextOptions][] = [
    ['light', { colorScheme: 'light', viewport: TALL }],
    ['dark', { colorScheme: 'dark', viewport: TALL }],
    ['narrow', { viewport: PHONE, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }],
  ];
  const backs = new Set<string>();
  for (const [name, options] of views) {
    const shown = await show(browser, scene.url, options);
    const { page } = shown;
    await until('the swarms are there', BOUND_MS, async () => (await page.locator('.card').count()) === 3);
    await same(t, `${name}: as the API says`, shown, scene.url);
    t.same(
      (await page.locator('.counts .state').allInnerTexts()).map(words),
      COUNTS,
      `${name}: how many are in which state`,
    );
    t.match(
      (await page.locator('.cause').allInnerTexts()).map(words),
      CAUSES,
      `${name}: what needs a look, and what to do`,
    );
    t.equal(await page.locator('.state svg.icon').count(), await page.locator('.state').count(), 'not by colour alone');
    t.same(await barsOf(page), wantedBars(scene), `${name}: a bar a blob and peer, as long as what it has`);
    t.notOk(await scrollsSideways(page), `${name}: nothing sticks out`);
    t.same(await faultsOf(page), [], `${name}: everybody can use it`);
    if (name !== 'narrow')
      backs.add((await page.evaluate('getComputedStyle(document.body).backgroundColor')) as string);
    // The port is another one each time.
    await page.evaluate(`document.querySelector('.where').textContent = '127.0.0.1:6789'`);
    const picture = smallPng(await page.screenshot());
    t.ok(picture.length < MAX_PICTURE_BYTES, `${name}: a picture of ${picture.length} bytes`);
    if (WRITES) await writeFile(join(IMAGES, `dashboard-${name}.png`), picture);
    for (const link of ['tr[data-peer] a', '.card h3 a']) {
      await page.locator(link).first().click();
      await page.locator('.facts, .bars.wide').first().waitFor();
      t.notOk(await scrollsSideways(page), `${name}: nor on the page of one`);
      t.same(await faultsOf(page), [], `${name}: which everybody can use, too`);
      await page.goBack();
      await page.locator('.counts').waitFor();
    }
    t.same(shown.said, [], `${name}: not a word in the console`);
    await page.context().close();
  }
  t.equal(backs.size, 2, 'dark is not light');
});

const COUNTS = ['6 ready', '1 unreachable', '1 stale', '1 left', '2 rejected'];
const CAUSES = [
  /^1 rejected NOT_A_MEMBER node-22 .*join secret.* To do: .*cluster\.secretFile/,
  /^1 rejected PROTOCOL_VERSION node-21 .* 2 times: .* To do: upgrade/,
  /^1 unreachable node-07: .*ECONNREFUSED.* To do: .*peer\.advertise/,
  /^1 stale node-08: nothing was heard of it for .* To do: see whether that node runs/,
  /^1 left node-09: its connection was closed.* To do: .*hawker doctor/,
];

/** By blob: peer, pieces that it has, and all. */
async function barsOf(page: Page): Promise<Record<string, string[]>> {
  return (await page.evaluate(
    `Object.fromEntries([...document.querySelectorAll('.card')].map((card) => [card.querySelector('h3 a').innerText,
      [...card.querySelectorAll('.bars li')].map((bar) => [bar.querySelector('a').innerText, bar.querySelector('progress').value, bar.querySelector('progress').max].join(' '))]))`,
  )) as Record<string, string[]>;
}

function wantedBars({ supernode }: DashboardScene): Record<string, string[]> {
  const hosts = new Map(supernode.peers().peers.map(({ id, host }) => [id, host]));
  const barsOfBlob = ({
    digest,
    pieces,
    downloading,
    downloaded,
  }: ReturnType<typeof supernode.activeBlobs>[number]) => [
    shortDigest(digest),
    downloading.map((peer, index) => `${hosts.get(peer)} ${downloaded[index]} ${pieces}`),
  ];
  return Object.fromEntries(supernode.activeBlobs(10).map(barsOfBlob)) as Record<string, string[]>;
}

e2e(
  t,
  'by keys alone: past the head, to whatever can be pressed, and it is seen where',
  ['chromium'],
  async (t, rig) => {
    const scene = await DashboardScene.start(t);
    await scene.join('node-1');
    const { page, said } = await show(await openBrowser(rig), scene.url);
    await page.getByRole('heading', { name: '1 peer ready' }).waitFor();
    const focus = `(() => { const one = document.activeElement, style = getComputedStyle(one);
    const { top, left, width, height } = one.getBoundingClientRect();
    return { text: ['BODY', 'SELECT'].includes(one.tagName) ? one.tagName : one.innerText || one.tagName, seen: style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2, inside: top >= 0 && left >= 0 && width > 0 && height > 0 }; })()`;
    interface Focus {
      readonly text: string;
      readonly seen: boolean;
      readonly inside: boolean;
    }
    const stops: Focus[] = [];
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press('Tab');
      const stop = (await page.evaluate(focus)) as Focus;
      if (stop.text === 'BODY' || (presses > 0 && stop.text === stops[0]!.text)) break;
      stops.push(stop);
    }
    const texts = stops.map(({ text }) => text.trim());
    t.equal(texts[0], 'Skip to the content');
    for (const wanted of ['Hawker', 'INPUT', 'SELECT', 'Peer', 'node-1', 'metrics'])
      t.ok(texts.includes(wanted), wanted);
    t.same(
      stops.filter(({ seen, inside }) => !seen || !inside),
      [],
      'each is seen',
    );
    await page.reload();
    await page.locator('.counts').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    t.equal(await page.evaluate('document.activeElement.id'), 'main');
    t.equal(await page.evaluate('location.hash'), '', 'which is no other page');
    for (const role of ['banner', 'main', 'contentinfo'] as const) t.equal(await page.getByRole(role).count(), 1, role);
    t.same(said, []);
  },
);

e2e(t, 'beyond loopback, behind a token; and when the supernode comes back', ['chromium'], async (t, rig) => {
  const [secretFile, tokenFile] = [join(rig.dir, 'secret'), join(rig.dir, 'token')];
  const env = rig.environment();
  await must(process.execPath, [MAIN, 'token', '--secret-file', secretFile], { env });
  await must(process.execPath, [MAIN, 'token', '--operator', '--secret-file', tokenFile], { env });
  const token = readFileSync(tokenFile, 'utf8').trim();
  const listen = `0.0.0.0:${await freePort()}`;
  const flags = ['--cluster-secret-file', secretFile, '--cluster-operator-token-file', tokenFile];
  const startSupernode = async () => {
    const args = [
      MAIN,
      'supernode',
      '--supernode-listen',
      listen,
      ...flags,
      '--log-format',
      'json',
      '--log-level',
      'debug',
    ];
    const daemon = rig.daemon('supernode', process.execPath, args);
    await daemon.ready('LISTENING', BOUND_MS, () => listeningAddress(daemon.log(), 'supernode'));
    return daemon;
  };
  let supernode = await startSupernode();
  const url = `http://${listen.replace('0.0.0.0', '127.0.0.1')}`;
  for (const name of ['one', 'two']) {
    const config = { supernodes: [url], cluster: { secretFile } };
    await Hawker.start(rig, name, 'http://127.0.0.1:9', { command: 'proxy', config });
  }
  const browser = await openBrowser(rig);
  const stranger = await (await browser.newContext()).newPage();
  await t.rejects(stranger.goto(url), /ERR_INVALID_AUTH_CREDENTIALS/, 'the browser asks for a name and a password');
  // What is shown by one whose user has closed that question: a headless one shows nothing.
  const refused = await fetch(url, { headers: { accept: 'text/html' } });
  t.equal(refused.status, 401);
  const shut = await stranger.context().newPage();
  await shut.setContent(await refused.text());
  t.match(await shut.locator('h1').innerText(), 'asks for a token');
  await stranger.context().close();

  const httpCredentials = { username: 'anybody', password: token };
  const shown = await show(browser, url, { httpCredentials });
  const { page } = shown;
  const headers = { authorization: `Bearer ${token}` };
  await page.getByRole('heading', { name: '2 peers ready' }).waitFor();
  await same(t, 'real proxies, as the API says', shown, url, headers);
  const kept = await page.evaluate(
    'JSON.stringify([location.href, document.cookie, { ...localStorage }, { ...sessionStorage }])',
  );
  t.equal(kept, JSON.stringify([`${url}/`, '', {}, {}]), 'the page keeps no token');

  const first = supernode;
  await supernode.stop();
  await page.locator('.connection.lost').waitFor();
  await page.getByText('The supernode does not answer').waitFor();
  t.equal(await page.locator('tr[data-peer]').count(), 2, 'what was known stays');
  await until('it is read out', BOUND_MS, async () =>
    (await page.locator('p[role=status]').innerText()).includes('No connection'),
  );
  supernode = await startSupernode();
  await page.locator('.connection.live').waitFor();
  await page.getByRole('heading', { name: '2 peers ready' }).waitFor();
  t.equal(await page.locator('.notice').count(), 0);
  await same(t, 'and again', shown, url, headers);
  t.same(
    shown.said.filter((line) => !line.includes('ERR_CONNECTION_REFUSED')),
    [],
  );
  for (const daemon of [first, supernode]) t.notOk(daemon.log().includes(token), 'no log has the token');
});
