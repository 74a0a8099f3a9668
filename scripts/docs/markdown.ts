/** A table of markdown; prettier makes its columns even. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.map(cellOf).join(' | ')} |`).join('\n');
}

/** As code, as it stands. */
export function code(text: string): string {
  return `\`${text}\``;
}

/** What is meant for a terminal, on a page: `<` would begin a tag, and a star by itself an emphasis. */
export function prose(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 === 1 ? part : plain(part)))
    .join('');
}

/** Other pages are named as the program names them, from the top of the repository. */
function plain(text: string): string {
  return text.replaceAll(/[<*]/g, String.raw`\$&`).replaceAll(/\bdocs\/([\w-]+\.md)/g, '[$1]($1)');
}

function cellOf(text: string): string {
  return text.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ');
}
