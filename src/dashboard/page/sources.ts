/** Where bytes to clients come from, in the order of all that tells of them, and how that is called. */
export const SOURCES = ['store', 'peers', 'origin'] as const;
export const LABELS = { store: 'From the store', peers: 'From peers', origin: 'From the origin' };
