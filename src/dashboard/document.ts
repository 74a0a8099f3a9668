import { createHash } from 'node:crypto';

/** A dragonfly. */
const ICON =
  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><g stroke='%230b7a75' stroke-width='3' stroke-linecap='round'><path d='M16 5v23M16 11 4 7m12 4 12-4M16 15 5 18m11-3 11 3'/></g><circle cx='16' cy='5' r='3' fill='%230b7a75'/></svg>";

/** The page at `/`: all of it is made by page/main.tsx. `scripts`: the paths of its modules, so that none is asked for only when another is here. */
export function documentOf(scripts: readonly string[]): string {
  const early = scripts.map((path) => `<link rel="modulepreload" href="${path}">\n`).join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hawker</title>
<link rel="icon" href="data:image/svg+xml,${ICON}">
<link rel="stylesheet" href="/dashboard/style.css">
${early}<script type="module" src="/dashboard/main.js"></script>
</head>
<body>
<div id="app"></div>
<noscript><p class="plain">This page needs JavaScript. <code>hawker peers</code>, <code>hawker blobs</code> and <code>hawker status</code> tell the same.</p></noscript>
</body>
</html>
`;
}

const LOGIN_STYLE =
  ':root{color-scheme:light dark}body{max-width:38rem;margin:12vh auto;padding:0 1.25rem;font:1rem/1.6 system-ui,"Liberation Sans",sans-serif}h1{font-size:1.5rem}a{color:LinkText}';

/** Of the page that asks for a token: its style, and nothing else. */
export const LOGIN_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(LOGIN_STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** For whom has closed the browser's own question for the token: what it is, and how it is asked for again. The texts are the program's own. */
export function loginDocument({ message, todo }: { readonly message: string; readonly todo: string }): string {
  const text = (words: string) => words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hawker: token needed</title>
<style>${LOGIN_STYLE}</style>
</head>
<body>
<main>
<h1>This dashboard asks for a token</h1>
<p>It was not shown: ${text(message)}.</p>
<p><a href="/">Load it again</a>, and the browser asks for a name and a password. Any name will do; the password is the token. The browser
keeps it until it is closed. It is never part of an address, and the page stores it nowhere.</p>
<p>What to do: ${text(todo)}.</p>
</main>
</body>
</html>
`;
}
