/** The dashboard's style, light and dark. Texts have a contrast of 4.5:1 or more with what is behind them (WCAG 2.2, 1.4.3). */
export const STYLE = `
:root {
  color-scheme: light dark;
  --back: #f5f7f8;
  --card: #fff;
  --line: #dbe2e6;
  --text: #17242b;
  --quiet: #566670;
  --link: #0b6661;
  --store: #0f8f86;
  --peers: #4f63d9;
  --origin: #d98a14;
  --good: #0b6b3a;
  --good-back: #d9f2e3;
  --warn: #7a4b00;
  --warn-back: #fdeccb;
  --bad: #a11d2b;
  --bad-back: #fbdfe2;
  --still-back: #e6ebee;
  --warn-line: #d98a14;
  --focus: #1a56db;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #10181c;
    --card: #18232a;
    --line: #2c3b44;
    --text: #e3ebef;
    --quiet: #9fb0ba;
    --link: #5fd4cb;
    --store: #2fb5aa;
    --peers: #8593f5;
    --origin: #eba744;
    --good: #7fe0aa;
    --good-back: #12382a;
    --warn: #f6c878;
    --warn-back: #40300e;
    --bad: #ff9ea8;
    --bad-back: #471a21;
    --still-back: #2a3840;
    --warn-line: #eba744;
    --focus: #8ab4ff;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0;
  background: var(--back);
  color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
}
a { color: var(--link); text-underline-offset: 2px; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
h1:focus, main:focus { outline: none; }
.page { display: flex; flex-direction: column; min-height: 100vh; max-width: 1180px; margin: 0 auto; padding: 0 24px; }
main { flex: 1; }
header {
  display: flex; align-items: center; gap: 12px;
  padding: 14px 0; border-bottom: 1px solid var(--line);
}
.where { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
footer { margin-top: 48px; padding: 14px 0 28px; border-top: 1px solid var(--line); }
footer p { max-width: 90ch; }
.brand { display: inline-flex; align-items: center; gap: 8px; font-size: 20px; font-weight: 700; text-decoration: none; color: var(--text); }
.brand svg { width: 28px; height: 28px; stroke: var(--store); stroke-width: 3; stroke-linecap: round; fill: none; }
.brand circle { fill: var(--store); stroke: none; }
.connection { margin-left: auto; padding: 2px 12px; white-space: nowrap; border-radius: 99px; font-size: 13px; font-weight: 600; background: var(--still-back); }
.connection::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 7px; border-radius: 50%; background: currentColor; }
.connection.live { color: var(--good); background: var(--good-back); }
.connection.lost { color: var(--bad); background: var(--bad-back); }
.connection.lost::before { border-radius: 1px; }
.notice { margin: 14px 0 0; padding: 8px 14px; border-radius: 8px; color: var(--bad); background: var(--bad-back); }
.trail { margin-top: 18px; font-size: 13px; color: var(--quiet); }
.trail + h1 { margin-top: 6px; }
h1 { margin: 24px 0 12px; font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
h1.mono { font-size: 18px; }
h2 { margin: 36px 0 12px; font-size: 18px; line-height: 1.3; }
h3 { margin: 0; font-size: 15px; font-weight: 600; }
p { margin: 6px 0; }
ul { margin: 0; padding: 0; list-style: none; }
.plain { margin: 32px 0; }
.quiet { color: var(--quiet); font-size: 13px; }
.mono, code { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; font-size: 13px; }
.number { font-variant-numeric: tabular-nums; }
th.number, td.number { text-align: right; white-space: nowrap; }
.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 8px; padding: 6px 12px; background: var(--card); z-index: 1; }
.counts { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; }
.state { display: inline-flex; align-items: center; gap: 5px; padding: 1px 10px 1px 7px; border-radius: 99px; font-size: 13px; font-weight: 600; background: var(--still-back); color: var(--text); white-space: nowrap; }
.icon { flex: none; width: 14px; height: 14px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.state.ready, .state.done { color: var(--good); background: var(--good-back); }
.state.unreachable, .state.stale, .state.running { color: var(--warn); background: var(--warn-back); }
.state.rejected, .state.failed { color: var(--bad); background: var(--bad-back); }
.state.none { color: var(--quiet); background: transparent; box-shadow: inset 0 0 0 1px var(--line); font-weight: 400; }
.why { margin-top: 22px; padding: 14px 18px 6px; border: 1px solid var(--line); border-left: 5px solid var(--warn-line); border-radius: 8px; background: var(--card); }
.why.none-ready { border-left-color: var(--bad); padding-bottom: 14px; }
.why h2 { margin: 0 0 4px; }
.why li { overflow-wrap: anywhere; }
.why ol { margin: 8px 0 0; padding-left: 22px; }
.why ol li { margin: 8px 0; padding-left: 4px; }
.cause { display: grid; grid-template-columns: 148px minmax(0, 1fr); gap: 16px; padding: 10px 0; }
.cause + .cause { border-top: 1px solid var(--line); }
.cause > .state { justify-self: start; align-self: start; font-variant-numeric: tabular-nums; }
.todo { margin: 4px 0 0; font-size: 13px; color: var(--quiet); max-width: 90ch; }
.todo b { color: var(--text); font-weight: 600; }
.todo code, footer code { font-size: 12px; }
.command { display: block; width: fit-content; max-width: 100%; margin-top: 6px; padding: 6px 12px; border-radius: 6px; background: var(--still-back); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0; }
.tile { padding: 10px 16px 12px; border: 1px solid var(--line); border-top: 4px solid var(--line); border-radius: 8px; background: var(--card); }
.tile dt { font-size: 13px; color: var(--quiet); }
.tile dd { margin: 0; font-size: 23px; line-height: 1.35; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile dd.quiet { font-size: 13px; font-weight: 400; }
.tile.saved { border-top-color: var(--good); }
.tile.store { border-top-color: var(--store); }
.tile.peers { border-top-color: var(--peers); }
.tile.origin { border-top-color: var(--origin); }
figure { margin: 12px 0 0; padding: 16px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.plot { display: grid; grid-template-columns: 78px minmax(0, 1fr); gap: 4px 10px; font-size: 12px; color: var(--quiet); }
.plot svg { display: block; width: 100%; height: 132px; overflow: visible; }
.axis { display: flex; flex-direction: column; justify-content: space-between; margin: -9px 0; text-align: right; white-space: nowrap; }
.times { grid-column: 2; position: relative; display: grid; grid-template-columns: repeat(3, 1fr); }
.times span:last-child { position: absolute; right: 0; }
.grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; }
path.store { fill: var(--store); }
path.peers { fill: var(--peers); }
path.origin { fill: var(--origin); }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 20px; margin: 10px 0 0 88px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 14px; }
.legend span::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 2px; }
.legend .store::before { background: var(--store); }
.legend .peers::before { background: var(--peers); }
.legend .origin::before { background: var(--origin); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 12px; }
.card { padding: 12px 16px 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); min-width: 0; }
.card h3 { display: flex; justify-content: space-between; gap: 12px; align-items: baseline; }
.card > .quiet { margin: 2px 0 8px; }
.bars li { display: grid; grid-template-columns: minmax(80px, 1fr) 2fr; gap: 12px; align-items: center; padding: 2px 0; }
.bars.wide { max-width: 760px; padding: 12px 16px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.bars.wide:empty, .names:empty { display: none; }
.bars a, .names a { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.names { display: flex; flex-wrap: wrap; gap: 6px 16px; }
.pieces { display: grid; grid-template-columns: 1fr minmax(76px, auto); gap: 10px; align-items: center; min-width: 150px; }
.pieces .number { font-size: 13px; color: var(--quiet); text-align: right; }
progress { appearance: none; width: 100%; height: 8px; border: 0; border-radius: 4px; overflow: hidden; background: var(--still-back); color: var(--store); }
progress::-webkit-progress-bar { background: var(--still-back); }
progress::-webkit-progress-value { background: var(--store); }
progress::-moz-progress-bar { background: var(--store); }
.filters { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px; margin-bottom: 10px; }
.filters label { font-size: 13px; color: var(--quiet); }
input, select, button { font: inherit; color: var(--text); background: var(--card); border: 1px solid var(--quiet); border-radius: 6px; padding: 4px 10px; }
input[type="search"] { width: 270px; max-width: 100%; }
::placeholder { color: var(--quiet); opacity: 1; }
button { cursor: pointer; }
button:disabled { cursor: default; color: var(--quiet); border-color: var(--line); }
.pager { display: flex; align-items: center; justify-content: center; gap: 14px; margin: 12px 0; }
table { width: 100%; border-collapse: separate; border-spacing: 0; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
th, td { padding: 8px 12px; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th .arrow { display: inline-block; width: 1.1em; text-align: right; font-size: 10px; }
th[aria-sort="ascending"] .arrow::after { content: "▲"; }
th[aria-sort="descending"] .arrow::after { content: "▼"; }
th { font-size: 13px; font-weight: 600; color: var(--quiet); white-space: nowrap; }
th button { border: 0; padding: 0; background: none; font-weight: 600; color: inherit; }
th button:hover { text-decoration: underline; }
td { border-top: 1px solid var(--line); }
td.mono, td.time { white-space: nowrap; }
td.mono.words { white-space: normal; }
td.words { min-width: 240px; }
td.name { max-width: 22ch; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 16px; }
th:last-child, td:last-child { padding-right: 16px; }
tbody tr:hover { background: var(--back); }
.id { display: block; font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; max-width: 24ch; }
.reason { display: block; margin-top: 4px; font-size: 13px; max-width: 60ch; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 8px 24px; margin: 0; padding: 16px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 720px) {
  .page { padding: 0 14px; }
  h1 { margin-top: 18px; }
  h2 { margin-top: 28px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tile.saved { grid-column: 1 / -1; }
  .cause { grid-template-columns: minmax(0, 1fr); gap: 6px; }
  .plot { grid-template-columns: 66px minmax(0, 1fr); }
  figcaption { margin-left: 0; }
  .filters label, .filters input, .filters select { width: 100%; }
  .filters input, .filters select { display: block; margin-top: 2px; font-size: 16px; }
  button { min-height: 36px; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  table { border: 0; background: none; }
  tr { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px 14px; margin-bottom: 10px; padding: 12px 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
  tbody tr:hover { background: var(--card); }
  td, td:first-child, td:last-child { padding: 0; border: 0; }
  td.number, td.mono { text-align: left; white-space: normal; }
  td.words { grid-column: 1 / -1; min-width: 0; }
  td::before { content: attr(data-label); display: block; color: var(--quiet); font: 12px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif; }
  td .pieces { min-width: 0; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: 8px; }
}
@media (prefers-reduced-motion: no-preference) {
  progress::-webkit-progress-value { transition: width 0.4s; }
}
@media (forced-colors: active) {
  progress, .state, .connection, .command { border: 1px solid; }
}
`;
