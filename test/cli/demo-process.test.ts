import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** The real program, which runs the demonstration in a process of its own. */
t.test('hawker demo leaves no process and nothing on disk behind, however it is ended', async (t) => {
  const TMPDIR = t.testdir({});
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const child = spawn(process.execPath, [MAIN, 'demo', '--nodes', '2', '--size', '1MiB', '--keep', '--json'], {
      env: { ...process.env, TMPDIR },
    });
    t.teardown(() => child.kill('SIGKILL'));
    // Closed when the process that it runs in has ended too.
    const closed = once(child, 'close');
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { supernode } = (JSON.parse(line.toString()) as { kept: { supernode: string } }).kept;
    t.equal((await fetch(`${supernode}/livez`)).status, 200);
    child.kill(signal);
    t.same(await closed, signal === 'SIGTERM' ? [0, null] : [null, signal]);
    await t.rejects(fetch(supernode), signal);
    t.same(readdirSync(TMPDIR), [], signal);
  }
});
