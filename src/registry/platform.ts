/** What an image of an index is for, in Go's words (image-spec, "Image Index": GOOS, GOARCH). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** `v7`; '' where there is none. */
  readonly variant: string;
}

const PART = '[A-Za-z0-9_.-]{1,32}';
const PLATFORM = new RegExp(`^(${PART})/(${PART})(?:/(${PART}))?$`);

/** Other spellings of architectures (containerd/platforms, `normalizeArch`). */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
};
/** `process.arch` in Go's words, where they differ. */
const OF_NODE: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' };
/** What a processor runs beside its own variant, the best first. */
const OLDER: Readonly<Record<string, readonly string[]>> = { v8: ['v7', 'v6', 'v5'], v7: ['v6', 'v5'], v6: ['v5'] };

/** Reads `linux/amd64` and `linux/arm/v7`; undefined: it is none. */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant = ''] = PLATFORM.exec(text) ?? [];
  return os === undefined || architecture === undefined ? undefined : normal({ os, architecture, variant });
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === '' ? [] : [variant])].join('/');
}

/** What containers on this machine run: Linux, whatever this program itself runs on. */
export function ownPlatform(arch: string = process.arch): Platform {
  return normal({ os: 'linux', architecture: OF_NODE[arch] ?? arch, variant: '' });
}

/** The platform that a descriptor of an index names; undefined: it names none. */
export function platformIn(value: unknown): Platform | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { os, architecture, variant = '' } = value as Record<string, unknown>;
  if (typeof os !== 'string' || typeof architecture !== 'string' || typeof variant !== 'string') return undefined;
  return normal({ os, architecture, variant });
}

/** The best of `offers` for `wanted`: its own variant, else an older one that runs there too. */
export function bestFor<T extends { readonly platform?: Platform }>(
  wanted: Platform,
  offers: readonly T[],
): T | undefined {
  const same = offers.filter(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  );
  const variants = [wanted.variant, ...(wanted.architecture === 'arm' ? (OLDER[wanted.variant] ?? []) : [''])];
  for (const variant of variants) {
    const found = same.find(({ platform }) => platform!.variant === variant);
    if (found) return found;
  }
  return undefined;
}

/** arm64 means v8, arm means v7, amd64 means v1 (containerd/platforms, `normalizeArch`). */
function normal({ os, architecture, variant }: Platform): Platform {
  const lower = architecture.toLowerCase();
  const arch = ARCHITECTURES[lower] ?? lower;
  const usual = arch === 'arm' ? 'v7' : '';
  const isUsual = (arch === 'arm64' && variant === 'v8') || (arch === 'amd64' && variant === 'v1');
  return { os: os.toLowerCase(), architecture: arch, variant: isUsual ? '' : variant.toLowerCase() || usual };
}
