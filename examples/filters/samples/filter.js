// Metrics in milliseconds become metrics in seconds: their names when a series is new, their values at every tick.

import { sampleFilter } from './sluice.js';

const OLD = '_milliseconds';

export const { labels, samples } = sampleFilter({
  name: 'to-seconds',
  version: '0.1.0',
  configSchema: { type: 'object', additionalProperties: false },
  // What `process` looks at; what it does not is not sent.
  columns: { timestamps: false, values: true },

  configure() {
    // By the series' numbers, which are dense.
    const isOld = [];
    return {
      classify(series) {
        const name = series.get('__name__') ?? '';
        isOld[series.id] = name.endsWith(OLD);
        if (isOld[series.id]) series.set('__name__', `${name.slice(0, -OLD.length)}_seconds`);
        return true;
      },

      // Called for every batch of a tick's samples.
      process(tick, rows) {
        for (let row = 0; row < rows.length; row++) {
          if (isOld[rows.series[row]] && !rows.isStale(row)) rows.set(row, rows.values[row] / 1000);
        }
      },
    };
  },
});
