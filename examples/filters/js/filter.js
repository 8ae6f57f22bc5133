// Drops series whose metric name begins with one of some prefixes, and marks all others.

import { labelFilter } from './sluice.js';

export const labels = labelFilter({
  name: 'drop-prefixes',
  version: '0.1.0',
  configSchema: {
    type: 'object',
    additionalProperties: false,
    properties: { prefixes: { type: 'array', items: { type: 'string' } } },
  },

  // Called once, with what people write below `config` in their resource. What it returns is asked about every new series: true
  // keeps it. What it throws refuses the configuration.
  configure({ prefixes = [] }) {
    if (prefixes.includes('')) throw new Error('an empty prefix drops everything: leave it out');
    return (series) => {
      const name = series.get('__name__') ?? '';
      if (prefixes.some((prefix) => name.startsWith(prefix))) return false;
      series.set('filtered_by', 'drop-prefixes');
      return true;
    };
  },
});
