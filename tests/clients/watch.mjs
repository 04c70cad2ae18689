// The usual WebSocket client: subscribes, says so, and prints the first event.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  retryAttempts: 0,
  on: { message: ({ type }) => type === "connection_ack" && setTimeout(() => console.log("ready"), 300) },
});
const events = client.iterate({ query: "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { change } }" });
for await (const event of events) {
  console.log(JSON.stringify(event));
  break;
}
await client.dispose();
