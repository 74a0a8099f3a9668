import { join } from 'node:path';
import { PROTOCOL_VERSION } from '../../src/p2p/protocol/version.ts';
import { copyBuild } from '../support/build-copy.ts';

/** A copy of the built program that speaks another version of the protocol; its main file. */
export function buildOfProtocol(dir: string, protocol: string): Promise<string> {
  const said = (version: string) => `PROTOCOL_VERSION = '${version}'`;
  const edit = { file: 'p2p/protocol/version.js', find: said(PROTOCOL_VERSION), replace: said(protocol) };
  return copyBuild(join(dir, `build-${protocol}`), [edit]);
}
