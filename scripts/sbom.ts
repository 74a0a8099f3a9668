/** `npm run sbom`: writes what Hawker is made of to sbom.cdx.json (CycloneDX). */
import { writeFileSync } from 'node:fs';
import { billOfMaterials } from './support/sbom.ts';

const FILE = 'sbom.cdx.json';

writeFileSync(FILE, billOfMaterials(process.cwd()));
process.stdout.write(`${FILE}\n`);
