/** Who other than its owner may use a file. */
const FOR_OTHERS = 0o077;
/** The same, where the owner's group may read it. */
const FOR_OTHERS_THAN_GROUP = 0o037;
const ROOT = 0;

/**
 * Whether a file is for this process alone. The owner's own: mode 0600 or less. Root's, for a service that is not root, by its
 * group: 0640 or less, which is how root hands a secret to a service that may not change it (a Secret of Kubernetes with `fsGroup`;
 * /etc/hawker with the units of config/systemd). It is PostgreSQL’s rule for its key (docs, “Secure TCP/IP Connections with SSL”).
 */
export function isPrivate(
  { mode, uid }: { readonly mode: number; readonly uid: number },
  user: number | undefined = process.getuid?.(),
): boolean {
  if ((mode & FOR_OTHERS) === 0) return true;
  return uid === ROOT && user !== ROOT && user !== undefined && (mode & FOR_OTHERS_THAN_GROUP) === 0;
}

/** `0640` */
export function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}
