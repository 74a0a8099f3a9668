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
.page { max-width: 1180px; margin: 0 auto; padding: 0 20px 48px; }
header {
  display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px;
  padding: 14px 0; border-bottom: 1px solid var(--line);
}
.brand { display: inline-flex; align-items: center; gap: 8px; font-size: 20px; font-weight: 700; text-decoration: none; color: var(--text); }
.brand svg { width: 28px; height: 28px; stroke: var(--store); stroke-width: 3; stroke-linecap: round; fill: none; }
.brand circle { fill: var(--store); stroke: none; }
.connection { margin-left: auto; padding: 2px 10px; border-radius: 99px; font-size: 13px; font-weight: 600; background: var(--still-back); }
.connection::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 7px; border-radius: 50%; background: currentColor; }
.connection.live { color: var(--good); background: var(--good-back); }
.connection.lost { color: var(--bad); background: var(--bad-back); }
h1 { margin: 22px 0 10px; font-size: 28px; line-height: 1.2; overflow-wrap: anywhere; }
h1.mono { font-size: 18px; }
h2 { margin: 32px 0 10px; font-size: 18px; }
h3 { margin: 0; font-size: 15px; font-weight: 600; }
p { margin: 6px 0; }
ul { margin: 0; padding: 0; list-style: none; }
.plain { margin: 32px 0; }
.quiet { color: var(--quiet); font-size: 13px; }
.mono, code { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; font-size: 13px; }
.number { font-variant-numeric: tabular-nums; }
.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 8px; padding: 6px 12px; background: var(--card); z-index: 1; }
.counts { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; }
.state { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 13px; font-weight: 600; background: var(--still-back); color: var(--text); white-space: nowrap; }
.state.ready, .state.done { color: var(--good); background: var(--good-back); }
.state.unreachable, .state.stale, .state.running { color: var(--warn); background: var(--warn-back); }
.state.rejected, .state.failed { color: var(--bad); background: var(--bad-back); }
.state.none { color: var(--quiet); background: transparent; box-shadow: inset 0 0 0 1px var(--line); font-weight: 400; }
.why { margin-top: 18px; padding: 4px 18px 14px; border: 1px solid var(--bad); border-left-width: 5px; border-radius: 8px; background: var(--card); }
.why h2 { margin-top: 12px; }
.why li { margin: 6px 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0; }
.tile { padding: 10px 14px; border: 1px solid var(--line); border-top: 4px solid var(--line); border-radius: 8px; background: var(--card); }
.tile dt { font-size: 13px; color: var(--quiet); }
.tile dd { margin: 0; font-size: 22px; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile dd.quiet { font-size: 13px; font-weight: 400; }
.tile.saved { border-top-color: var(--good); }
.tile.store { border-top-color: var(--store); }
.tile.peers { border-top-color: var(--peers); }
.tile.origin { border-top-color: var(--origin); }
figure { margin: 12px 0 0; padding: 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
figure svg { display: block; width: 100%; height: 120px; border-bottom: 1px solid var(--line); }
rect.store { fill: var(--store); }
rect.peers { fill: var(--peers); }
rect.origin { fill: var(--origin); }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 20px; margin-top: 8px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 14px; }
.legend span::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 2px; }
.legend .store::before { background: var(--store); }
.legend .peers::before { background: var(--peers); }
.legend .origin::before { background: var(--origin); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 12px; }
.card { padding: 12px 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); min-width: 0; }
.bars li { display: grid; grid-template-columns: minmax(80px, 1fr) 2fr; gap: 12px; align-items: center; padding: 2px 0; }
.bars.wide { max-width: 760px; }
.bars a, .names a { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.names { display: flex; flex-wrap: wrap; gap: 6px 16px; }
.pieces { display: grid; grid-template-columns: 1fr minmax(76px, auto); gap: 10px; align-items: center; min-width: 150px; }
.pieces .number { font-size: 13px; color: var(--quiet); text-align: right; }
progress { appearance: none; width: 100%; height: 10px; border: 0; border-radius: 5px; overflow: hidden; background: var(--still-back); color: var(--store); }
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
th, td { padding: 7px 12px; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { font-size: 13px; font-weight: 600; color: var(--quiet); white-space: nowrap; }
th button { border: 0; padding: 0; background: none; font-weight: 600; color: inherit; }
th button:hover { text-decoration: underline; }
td { border-top: 1px solid var(--line); }
td.mono { font-size: 13px; }
td.words { min-width: 180px; }
.id { display: block; font-size: 12px; }
.reason { display: block; margin-top: 4px; font-size: 13px; max-width: 60ch; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; padding: 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 720px) {
  .page { padding: 0 14px 32px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tile.saved { grid-column: 1 / -1; }
  .filters label, .filters input { width: 100%; }
  .filters input, .filters select { display: block; margin-top: 2px; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  table { border: 0; background: none; }
  tr { margin-bottom: 10px; padding: 6px 0; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
  td { display: grid; grid-template-columns: 84px minmax(0, 1fr); gap: 0 10px; padding: 4px 12px; border: 0; text-align: left; }
  td::before { content: attr(data-label); color: var(--quiet); font: 13px/1.6 system-ui, sans-serif; grid-row: 1 / span 3; }
  td > * { grid-column: 2; justify-self: start; min-width: 0; max-width: 100%; }
  td .pieces { justify-self: stretch; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 8px; }
}
@media (prefers-reduced-motion: no-preference) {
  progress::-webkit-progress-value { transition: width 0.4s; }
}
`;
