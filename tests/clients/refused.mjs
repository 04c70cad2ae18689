// The usual WebSocket client with a token that does not hold: prints with which code and why it was refused.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  retryAttempts: 0,
});
const ended = { next: console.log, complete: console.log, error: ({ code, reason }) => console.log(`${code} ${reason}`) };
client.subscribe({ query: "{ viewer { role } }" }, ended);
