import type { Check } from './check.ts';
import type { Subject } from './findings.ts';
import { checkLimits } from './limits.ts';
import { checkOrigins } from './origins.ts';
import { checkRuntimes } from './runtimes.ts';
import { checkStore } from './store.ts';

/** What the checks of the node itself find out, with titles for where they cannot be run. They need nothing of the cluster. */
export const NODE_CHECKS: readonly { readonly finds: readonly Subject[]; readonly check: Check }[] = [
  {
    finds: [
      { code: 'ORIGIN', title: 'registries' },
      { code: 'ORIGIN_LOGIN', title: 'logging in to registries' },
      { code: 'ORIGIN_RATE_LIMIT', title: 'pulls that Docker Hub still allows' },
    ],
    check: checkOrigins,
  },
  {
    finds: [
      { code: 'STORE_DIR', title: 'store directory' },
      { code: 'STORE_WRITE', title: 'writing to the store' },
      { code: 'STORE_LOCK', title: 'lock of the store' },
      { code: 'STORE_SPACE', title: 'space on the disk of the store' },
      { code: 'STORE_INODES', title: 'inodes on the disk of the store' },
      { code: 'STORE_FILESYSTEM', title: 'file system of the store' },
      { code: 'STORE_QUOTA', title: 'store.quota' },
      { code: 'STORE_CONTAINERD', title: 'containerd’s content' },
    ],
    check: checkStore,
  },
  {
    finds: [
      { code: 'OPEN_FILES', title: 'open files of the proxy' },
      { code: 'MEMORY', title: 'memory of the proxy' },
    ],
    check: checkLimits,
  },
  {
    finds: [
      { code: 'RUNTIME_MIRROR', title: 'address of the mirror' },
      { code: 'RUNTIME_DOCKER', title: 'docker uses this node’s mirror' },
      { code: 'RUNTIME_CONTAINERD', title: 'containerd uses this node’s mirror' },
      { code: 'RUNTIME_PODMAN', title: 'podman uses this node’s mirror' },
      { code: 'RUNTIME_REQUESTS', title: 'requests that have come to the mirror' },
    ],
    check: checkRuntimes,
  },
];
