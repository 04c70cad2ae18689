// Types for the operations in src/, from the server's schema. A running server's address does as well as the file.
import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema/schema.graphql",
  documents: ["src/*.ts"],
  generates: {
    "src/generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: "string",
        enumsAsTypes: true,
        useTypeImports: true,
        defaultScalarType: "unknown",
        strictScalars: true,
        scalars: {
          ID: "string",
          DateTime: "string",
          IntArray: "number[]",
          FloatArray: "(number | null)[]",
          TimeArray: "number[]",
          DirectionArray: '("IB" | "OB")[]',
          Upload: "File",
        },
      },
    },
  },
  importExtension: ".js",
};
export default config;
