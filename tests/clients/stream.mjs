// The usual client of event streams: says when it is connected, and prints the first two events.
import { createClient } from "graphql-sse";

const [url, token] = process.argv.slice(2);
const client = createClient({
  url,
  singleConnection: false,
  headers: { Authorization: `Bearer ${token}` },
  retryAttempts: 0,
  on: { connected: () => console.log("ready") },
});
const query = 'subscription { anomalyDetected(changes: [ACKNOWLEDGED], after: "0") { anomaly { id } } }';
let events = 0;
for await (const event of client.iterate({ query })) {
  console.log(JSON.stringify(event));
  if (++events === 2) break;
}
client.dispose();
