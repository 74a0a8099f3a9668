import { must } from './programs.ts';

const EPERM = 1;
/** systemd lets these be called under any list of what may be (systemd.exec(5), SystemCallFilter=). */
const ALWAYS = '@default';

/** What a service may call by the `SystemCallFilter=` lines of its unit, as a seccomp profile for an OCI runtime. */
export async function seccompProfile(unit: string): Promise<string> {
  const allowed = new Set(await expand([ALWAYS]));
  for (const [, not, list] of unit.matchAll(/^SystemCallFilter=(~?)(.+)$/gm)) {
    for (const name of await expand(list!.split(' '))) {
      if (not === '~') allowed.delete(name);
      else allowed.add(name);
    }
  }
  const syscalls = [{ names: [...allowed].toSorted(), action: 'SCMP_ACT_ALLOW' }];
  return JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: EPERM, syscalls });
}

/** System calls, and those of groups (`@system-service`) and of the groups in them. */
async function expand(names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    if (!name.startsWith('@')) {
      found.push(name);
      continue;
    }
    const listed = await must('systemd-analyze', ['syscall-filter', '--no-pager', name]);
    const inside = listed.split('\n').flatMap((line) => /^ +(@?[a-z0-9_-]+)$/.exec(line)?.[1] ?? []);
    found.push(...(await expand(inside)));
  }
  return found;
}
