// Types of the operations in src, by the gateway's schema and by what the client answers itself.
import type { CodegenConfig } from "@graphql-codegen/cli";
import { localSchema } from "@tidegate/client/apollo";
import { model } from "tidegate-example-shared/model";

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
        scalars: { ID: "string", Date: "string", DateTime: "string" },
      },
    },
  },
};

export default config;
