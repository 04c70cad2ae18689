// The official audit of GraphQL over HTTP: prints every check that is not fulfilled, and how many there were.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const failed = results.filter((result) => result.status !== "ok");
for (const { id, name, status, reason } of failed) console.error(`${status} ${id} ${name}: ${reason ?? ""}`);
console.log(`${results.length} checks, ${failed.length} failed`);
process.exit(failed.length ? 1 : 0);
