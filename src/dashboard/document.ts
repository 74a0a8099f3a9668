/** A dragonfly. */
const ICON =
  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><g stroke='%230b7a75' stroke-width='3' stroke-linecap='round'><path d='M16 5v23M16 11 4 7m12 4 12-4M16 15 5 18m11-3 11 3'/></g><circle cx='16' cy='5' r='3' fill='%230b7a75'/></svg>";

/** The page at `/`: all of it is made by page/main.tsx. */
export const DOCUMENT = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hawker</title>
<link rel="icon" href="data:image/svg+xml,${ICON}">
<link rel="stylesheet" href="/dashboard/style.css">
<script type="module" src="/dashboard/main.js"></script>
</head>
<body>
<div id="app"></div>
<noscript><p class="plain">This page needs JavaScript. <code>hawker peers</code>, <code>hawker blobs</code> and <code>hawker status</code> tell the same.</p></noscript>
</body>
</html>
`;
