import { join } from 'node:path';
import { run } from '../programs.ts';
import type { Rig } from '../rig.ts';

/** Whether an overlay can be mounted below the rig's directory; not where that lies on an overlay itself. */
export async function overlayWorks(rig: Rig): Promise<boolean> {
  const dir = await rig.folder('overlay-probe');
  const [lower, upper, work, merged] = await Promise.all(
    ['l', 'u', 'w', 'm'].map((name) => rig.folder(join('overlay-probe', name))),
  );
  const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const { code } = await run('mount', ['-t', 'overlay', 'overlay', '-o', layers, merged!]);
  if (code !== 0) return false;
  await run('umount', [join(dir, 'm')]);
  return true;
}
