import type { Manifest } from '../../support/manifests.ts';

/** A container of a pod, as far as config/kubernetes says things of one. */
export interface Container {
  readonly name: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
  readonly securityContext: SecurityContext & {
    readonly allowPrivilegeEscalation: false;
    readonly readOnlyRootFilesystem: true;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly readOnly?: boolean;
  }[];
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly livenessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
}

interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
}

export interface Pod {
  readonly securityContext: SecurityContext & { readonly fsGroup: number };
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

/** What the kubelet of the test's node gives a pod: where its volumes are on this machine, and the node's address. */
export interface Node {
  readonly volumes: Readonly<Record<string, string>>;
  readonly address: string;
}

/** The pod of a DaemonSet or StatefulSet. */
export function podOf(manifest: Manifest): Pod {
  return (manifest as unknown as { spec: { template: { spec: Pod } } }).spec.template.spec;
}

/** A container of a pod by its name; throws where there is none. */
export function containerOf({ initContainers = [], containers }: Pod, name: string): Container {
  const found = [...initContainers, ...containers].find((each) => each.name === name);
  if (!found) throw new Error(`no container ${name}`);
  return found;
}

/** What `podman run` takes to run a container as Kubernetes would: options, image and arguments. */
export function runArguments(pod: Pod, container: Container, image: string, node: Node): string[] {
  const { runAsUser, runAsGroup, capabilities } = { ...pod.securityContext, ...container.securityContext };
  const options = ['--read-only', '--read-only-tmpfs=false', '--security-opt', 'no-new-privileges'];
  options.push('--group-add', `${pod.securityContext.fsGroup}`);
  if (runAsUser !== undefined) options.push('--user', `${runAsUser}:${runAsGroup}`);
  for (const each of capabilities.drop) options.push('--cap-drop', each);
  for (const each of capabilities.add ?? []) options.push('--cap-add', each);
  for (const { name, mountPath, subPath, readOnly } of container.volumeMounts) {
    const path = [node.volumes[name]!, ...(subPath ? [subPath] : [])].join('/');
    options.push('--volume', `${path}:${mountPath}${readOnly ? ':ro' : ''}`);
  }
  const env = new Map<string, string>();
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom && JSON.stringify(valueFrom) !== '{"fieldRef":{"fieldPath":"status.hostIP"}}')
      throw new Error(`${name} comes from what this node does not have`);
    env.set(name, value?.replace(/\$\((\w+)\)/g, (_, other: string) => env.get(other)!) ?? node.address);
  }
  for (const pair of env) options.push('--env', pair.join('='));
  const [entrypoint, ...command] = container.command ?? [];
  if (entrypoint) options.push('--entrypoint', entrypoint);
  return [...options, image, ...command, ...(container.args ?? [])];
}

/** Where a probe asks, on the node's network. */
export function probeUrl({ ports = [], ...container }: Container, probe: 'livenessProbe' | 'readinessProbe'): string {
  const { path, port } = container[probe]!.httpGet;
  return `http://127.0.0.1:${ports.find(({ name }) => name === port)!.containerPort}${path}`;
}
