// Bundle the GraphiQL page and its editor workers into bcom_graphql/static/graphiql/, under fixed names.
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const outdir = fileURLToPath(new URL("../bcom_graphql/static/graphiql/", import.meta.url));

const shared = {
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  outdir,
  bundle: true,
  minify: true,
  target: ["chrome109", "firefox115", "safari16"],
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "external",
  logLevel: "warning",
};

await rm(outdir, { recursive: true, force: true });
await build({
  ...shared,
  entryPoints: {
    "editor.worker": "src/workers/editor.js",
    "graphql.worker": "src/workers/graphql.js",
    "json.worker": "src/workers/json.js",
  },
  format: "iife",
});
// Last, because the server takes graphiql.js as the sign of a complete build.
await build({
  ...shared,
  entryPoints: { graphiql: "src/main.jsx" },
  format: "esm",
  jsx: "automatic",
  assetNames: "[name]",
  loader: { ".ttf": "file", ".graphql": "text" },
});
