/** The completions as the shells make them: each script is loaded into the real shell, which completes a line. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../store/temporary.ts';
import { runCommand } from '../support/cli.ts';

const run = promisify(execFile);

/** Why a shell is not tested here. */
function missing(shell: string): string | false {
  try {
    execFileSync(shell, ['-c', 'exit 0']);
    return false;
  } catch {
    return `no ${shell} here`;
  }
}

async function script(t: Test, shell: string): Promise<{ file: string; dir: string }> {
  const { status, out, err } = await runCommand(['completion', shell]);
  t.match({ status, err }, { status: 0, err: '' });
  const dir = await temporaryDirectory(t);
  const file = join(dir, `_hawker`);
  await writeFile(file, out);
  await mkdir(join(dir, 'root'));
  await writeFile(join(dir, 'hawker yaml'), '');
  return { file, dir };
}

/** Lines, and words that must be among what is offered, and must not. The last word is what is typed so far. */
const CASES: readonly [line: string, offered: readonly string[], not: readonly string[]][] = [
  ['hawker ', ['up', 'proxy', 'peers', 'doctor', 'setup', 'completion', 'help'], ['--json', 'docker']],
  ['hawker se', ['setup'], ['up']],
  ['hawker setup ', ['docker', 'containerd', 'podman', 'crio', 'k3s'], ['up']],
  ['hawker setup po', ['podman'], ['docker']],
  ['hawker setup docker --un', ['--undo'], ['--yes']],
  ['hawker setup --yes do', ['docker'], ['podman']],
  ['hawker up --store-', ['--store-dir', '--store-quota', '--store-containerd'], ['--undo']],
  ['hawker demo --log-level wa', ['warn'], ['debug', '--log-level']],
  ['hawker completion ', ['bash', 'zsh', 'fish'], ['up']],
  ['hawker preheat x --ca', ['--cancel'], ['--all']],
  ['hawker preheat --ca', ['--cancel'], ['--all']],
  ['hawker pull --all', ['--all-platforms'], ['--json']],
  ['hawker pull x --all', ['--all-platforms'], ['--json']],
  ['hawker pull x --platform linux/arm64 --js', ['--json'], ['--all-platforms']],
  ['hawker pull --platform linux/arm64 --js', ['--json'], ['--all-platforms']],
  ['hawker rm x y --js', ['--json'], ['--config']],
  ['hawker get --header', ['--header', '--header-file'], ['--output']],
  ['hawker help pee', ['peers'], ['up']],
];

t.test('bash', { skip: missing('bash') }, async (t) => {
  const { file, dir } = await script(t, 'bash');
  const complete = async (words: readonly string[]) => {
    const set = `cd ${dir}; source ${file}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hawker; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await run('bash', ['--norc', '-c', set, 'bash', ...words]);
    t.equal(stderr, '', words.join(' '));
    return stdout.trimEnd().split('\n');
  };
  for (const [line, offered, not] of CASES) {
    const found = await complete(line.split(' '));
    t.same(
      offered.filter((word) => !found.includes(word)),
      [],
      `${line}: ${found.join(' ')}`,
    );
    t.same(
      not.filter((word) => found.includes(word)),
      [],
      line,
    );
  }
  t.same(await complete(['hawker', 'up', '--config', 'haw']), ['hawker yaml'], 'a file');
  t.same(await complete(['hawker', 'up', '--config', '=', 'haw']), ['hawker yaml'], 'behind =');
  t.same(await complete(['hawker', 'setup', '--root', '']), ['root'], 'a directory');
  t.same(await complete(['hawker', 'up', '--store-quota', '']), [''], 'what nobody can guess');
});

t.test('fish', { skip: missing('fish') }, async (t) => {
  const { file, dir } = await script(t, 'fish');
  const complete = async (line: string) => {
    const env = { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir };
    const command = `source ${file}; complete -C ${JSON.stringify(line)}`;
    const { stdout, stderr } = await run('fish', ['--no-config', '-c', command], { cwd: dir, env });
    t.equal(stderr, '', line);
    return stdout.split('\n').map((one) => one.split('\t')[0]!);
  };
  for (const [line, offered, not] of CASES) {
    const found = await complete(line);
    t.same(
      offered.filter((word) => !found.includes(word)),
      [],
      `${line}: ${found.join(' ')}`,
    );
    t.same(
      not.filter((word) => found.includes(word)),
      [],
      line,
    );
  }
  t.match(await complete('hawker up --config haw'), ['hawker yaml']);
});

t.test('zsh', { skip: missing('zsh') }, async (t) => {
  const { file, dir } = await script(t, 'zsh');
  // On a terminal of its own; a widget shows the line as completion has made it.
  const driver = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= PS2= RPS1=; unsetopt zle_bracketed_paste; cd ${dir}; fpath=(${dir} $fpath); autoload -Uz compinit; compinit -u -D; source ${file}'
zpty -w shell 'show() { print; print -r -- "<<$BUFFER>>"; exit }; zle -N show; bindkey "^X" show; print REA\${:-DY}'
while zpty -r shell text; do [[ $text == *READY* ]] && break; done
zpty -w -n shell "$1"$'\\t\\x18'
while zpty -r shell text; do print -r -- $text; [[ $text == *'>>'* ]] && break; done
zpty -d shell`;
  const complete = async (line: string) => {
    const { stdout } = await run('zsh', ['-f', '-c', driver, 'zsh', line], {
      env: { ...process.env, TERM: 'dumb', HOME: dir },
    });
    return /<<(.*)>>/.exec(stdout)?.[1];
  };
  for (const [line, offered] of CASES.filter(([, words]) => words.length === 1)) {
    t.equal((await complete(line))?.trimEnd(), line.replace(/\S*$/, offered[0]!), line);
  }
  t.equal((await complete('hawker up --config haw'))?.trimEnd(), String.raw`hawker up --config hawker\ yaml`);
});

t.test('every command and flag is in each script; another shell is wrong usage', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { out } = await runCommand(['completion', shell]);
    const help = (await runCommand(['--help'])).out;
    for (const [, command] of help.matchAll(/^ {2}([a-z]+) /gm)) {
      t.match(out, new RegExp(`\\b${command!}\\b`), shell);
      const { out: text } = await runCommand([command!, '--help']);
      for (const [, flag] of text.matchAll(/^ {2}(?:-\w, )?--([a-z-]+)/gm))
        t.match(out, flag, `${shell}: ${command!} --${flag!}`);
    }
  }
  t.match(await runCommand(['completion', 'tcsh']), { status: 2, err: /^hawker: USAGE: .*bash, zsh, fish/ });
});
