import { readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const outDir = '../src/http/graphiql';

export default defineConfig({
  base: '/graphiql/',
  plugins: [gzip()],
  build: {
    outDir,
    emptyOutDir: true,
    assetsDir: '.',
    chunkSizeWarningLimit: Infinity,
    license: { fileName: 'licenses.md' },
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // React's "use client" concerns servers; here it would be a hundred warnings.
      checks: { moduleLevelDirective: false },
      output: { codeSplitting: false, entryFileNames: 'app.js', assetFileNames: assetName },
    },
  },
  worker: {
    format: 'es',
    rolldownOptions: { output: { codeSplitting: false, entryFileNames: '[name].js' } },
  },
});

/** Names stay as they are from build to build, for `src/http/graphiql.rs` lists them; ETags keep caches honest. */
function assetName({ names }: { names: string[] }): string {
  return names[0]?.endsWith('.css') ? 'app.css' : '[name][extname]';
}

/** Leaves each file gzipped only, as the gateway stores and sends it. */
function gzip(): Plugin {
  return {
    name: 'gzip',
    apply: 'build',
    closeBundle() {
      for (const name of readdirSync(outDir)) {
        if (name.endsWith('.gz')) continue;
        writeFileSync(join(outDir, `${name}.gz`), gzipSync(readFileSync(join(outDir, name)), { level: 9 }));
        unlinkSync(join(outDir, name));
      }
    },
  };
}
