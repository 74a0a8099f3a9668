/** What two protocol versions `major.minor` mean for each other, as one side sees it. */
export type Compatibility =
  /** They work together; `warning` where the minor versions differ. */
  | { readonly works: true; readonly warning: string | undefined }
  /** They do not; `upgrade` is the side that is behind, `undefined` where the other's version is no version. */
  | { readonly works: false; readonly upgrade: 'proxy' | 'supernode' | undefined; readonly message: string };

/**
 * Same major works together, with a warning where the minor differs; another major does not, and the side with the lower one
 * is to be upgraded.
 */
export function compatibility(versions: { readonly proxy: string; readonly supernode: string }): Compatibility {
  const proxy = parse(versions.proxy);
  const supernode = parse(versions.supernode);
  if (!proxy || !supernode) {
    const which = proxy ? 'supernode' : 'proxy';
    return { works: false, upgrade: undefined, message: `the ${which} names no protocol version of the form 1.0` };
  }
  const both = `the proxy speaks protocol ${versions.proxy}, the supernode ${versions.supernode}`;
  if (proxy.major !== supernode.major) {
    const upgrade = proxy.major < supernode.major ? 'proxy' : 'supernode';
    return { works: false, upgrade, message: `${both}: upgrade the ${upgrade}` };
  }
  if (proxy.minor === supernode.minor) return { works: true, warning: undefined };
  const behind = proxy.minor < supernode.minor ? 'proxy' : 'supernode';
  return { works: true, warning: `${both}: they work together, but upgrade the ${behind} soon` };
}

function parse(version: string): { major: number; minor: number } | undefined {
  const match = /^(\d{1,6})\.(\d{1,6})$/.exec(version);
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined;
}
