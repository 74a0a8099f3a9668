import { spawnSync } from 'node:child_process';

/** What the sandbox keeps a copy of, so that what the daemons write there is gone with it. */
const COPIED_ON_WRITE = ['/etc', '/opt', '/run', '/var'];

const enter = (dirs: readonly string[]) => `
set -e
ip link set lo up
layers=$1; shift
mount -t tmpfs tmpfs "$layers"
for dir in ${dirs.join(' ')}; do
  mkdir -p "$layers$dir/upper" "$layers$dir/work"
  mount -t overlay overlay -o "lowerdir=$dir,upperdir=$layers$dir/upper,workdir=$layers$dir/work" "$dir"
done
exec "$@"
`;

/**
 * The command prefix that runs a program in network, mount and process namespaces of its own: nothing but loopback, so that no
 * client can fall back to a public registry unseen; no mount outlives it; its end ends every process in it; and what is written
 * to the system's folders lands in a tmpfs at `layersDir`. Undefined where the kernel or the container does not allow it.
 */
export function sandbox(layersDir: string): string[] | undefined {
  const ours = [process.cwd(), layersDir];
  const dirs = COPIED_ON_WRITE.filter((dir) => !ours.some((path) => path.startsWith(`${dir}/`)));
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const args = [...namespaces, 'sh', '-c', enter(dirs), 'sandbox', layersDir];
  const probe = spawnSync('unshare', [...args, 'true']);
  return probe.status === 0 ? ['unshare', ...args] : undefined;
}
