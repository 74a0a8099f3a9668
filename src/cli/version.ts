import { PROTOCOL_VERSION, programVersion } from '../app/version.ts';

/** What `hawker version` prints. */
export function versionText(json: boolean): string {
  const version = { version: programVersion(), protocol: PROTOCOL_VERSION, node: process.version };
  if (json) return `${JSON.stringify(version)}\n`;
  return `hawker ${version.version} (protocol ${version.protocol}, Node ${version.node})\n`;
}
