// One socket of the usual WebSocket client: a query, a subscription that it completes at its first event, a query again.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  retryAttempts: 0,
  lazy: false,
  on: { closed: ({ code }) => console.log(`closed ${code}`) },
});
const subscription = 'subscription { anomalyDetected(changes: [ACKNOWLEDGED], after: "0") { anomaly { id } } }';
for (const query of ["{ viewer { role } }", subscription, "{ viewer { role } }"])
  for await (const result of client.iterate({ query })) {
    console.log(JSON.stringify(result));
    break;
  }
await client.dispose();
