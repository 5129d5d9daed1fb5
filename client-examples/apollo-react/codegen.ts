// Types of the operations in src, by the gateway's schema and by what the client answers itself.
import type { CodegenConfig } from "@graphql-codegen/cli";
import { localSchema } from "@tidegate/client/apollo";
import { model } from "tidegate-example-shared/model";

/** A list is filtered as in a live query of the client. */
const filters = Object.keys(model.types).map((type) => {
  return [`${type}Where`, `import("@tidegate/client").WhereOf<import("tidegate-example-shared/model").${type}>`];
});

const config: CodegenConfig = {
  schema: ["../../schema.graphql", localSchema(model)],
  documents: "src/**/*.ts",
  generates: {
    "./generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        // Names that differ only in case or underscores stay apart.
        namingConvention: "keep",
        enumsAsTypes: true,
        useTypeImports: true,
        defaultScalarType: "unknown",
        scalars: { ID: "string", Date: "string", DateTime: "string", ...Object.fromEntries(filters) },
      },
    },
  },
};

export default config;
