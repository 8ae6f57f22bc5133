// Makes a component of filter.js. `sluice filter build` calls it, with the name of the file.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { componentize } from '@bytecodealliance/componentize-js';

const [out = 'target/drop-prefixes.wasm'] = process.argv.slice(2);
// What filter.js exports says what it sees.
const seesSamples = /^export const .*\bsamples\b/m.test(await readFile('filter.js', 'utf8'));
const { component } = await componentize({
  sourcePath: 'filter.js',
  witPath: 'wit',
  worldName: seesSamples ? 'sample-filter' : 'label-filter',
  // There is nobody to call.
  disableFeatures: ['http', 'fetch-event'],
});
await mkdir(dirname(out), { recursive: true });
await writeFile(out, component);
