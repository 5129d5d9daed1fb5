// graphql-codegen for TypeScript. SCHEMA_URL names a running gateway; without it the schema is a file.
import type { CodegenConfig } from "@graphql-codegen/cli";

const { SCHEMA_URL, TOKEN } = process.env;

const config: CodegenConfig = {
  schema: SCHEMA_URL
    ? // Without `oneOf` a change could be both a create and an update; without the other, deprecated inputs are missing.
      [{ [SCHEMA_URL]: { headers: { Authorization: `Bearer ${TOKEN}` }, oneOf: true, inputValueDeprecation: true } }]
    : "schema.graphql",
  documents: "operations.graphql",
  generates: {
    "./generated/": {
      preset: "client",
      // The fields of a fragment are those of what it is spread in.
      presetConfig: { fragmentMasking: false },
      config: {
        // Names that differ only in case or underscores stay apart.
        namingConvention: "keep",
        enumsAsTypes: true,
        scalars: {
          ID: "string",
          Date: "string",
          DateTime: "string",
          Long: "string",
          Decimal: "string",
          Bytes: "string",
          Checkpoint: "string",
          JSON: "unknown",
        },
      },
    },
    // What normalised caches ask for: see caches.ts.
    "./generated/introspection.json": { plugins: ["introspection"] },
  },
};

export default config;
