import { open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, describeError } from '../base/errors.ts';
import { SHELF_FOLDERS } from '../store/containerd-shelf.ts';
import { ShelfNotFound } from '../store/errors.ts';
import type { Check } from './check.ts';
import { failed, ok, skipped } from './findings.ts';

const MEANING = 'what containerd has already is not shared; everything else works';

/** Whether containerd's content, configured as a second shelf, can be read by this user: one blob is. */
export const checkShelf: Check = async ({ config }) => {
  const root = config.store.containerd;
  if (root === undefined) return [];
  const subject = { code: 'STORE_CONTAINERD', title: `containerd’s content in ${root}` };
  let refusal: unknown;
  for (const folder of SHELF_FOLDERS) {
    const dir = join(root, folder);
    try {
      const entries = await opendir(dir);
      for await (const entry of entries) {
        if (!entry.isFile()) continue;
        const file = await open(join(dir, entry.name));
        try {
          await file.read(Buffer.alloc(1), 0, 1, 0);
        } finally {
          await file.close();
        }
        return [ok(subject, `${entry.name.slice(0, 12)} in ${dir} could be read`)];
      }
      return [skipped(subject, `${dir} is empty: there is nothing to read yet`)];
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error))) refusal = error;
    }
  }
  const todo = 'set store.containerd to containerd’s root (containerd config dump shows it), or leave it out';
  const rights = 'run Hawker as root, or as a user that may read there, or leave store.containerd out';
  return [
    refusal === undefined
      ? failed(subject, { seen: 'there is no content store', meaning: MEANING, todo, error: ShelfNotFound.code })
      : failed(subject, { seen: describeError(refusal), meaning: MEANING, todo: rights }),
  ];
};
