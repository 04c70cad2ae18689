// The stand-in page: plain GraphiQL, its parts taken from a CDN. The full page is built from web/ by `make web`.
const endpoint = new URL(location.pathname, location.origin);
const socketEndpoint = new URL(endpoint);
socketEndpoint.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const QUERY = `# Call the mutation \`login\`, then put its
# accessToken into the Headers editor below:
#
#   { "Authorization": "Bearer ..." }
#
# Press play, and wait for the demo's next fault.

subscription WatchAnomalies {
  anomalyDetected(changes: [OPENED, UPDATED, RESOLVED]) {
    cursor
    change
    anomaly { id kind severity score confidence startedAt }
  }
}
`;

ReactDOM.createRoot(document.getElementById("page")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: endpoint.href, subscriptionUrl: socketEndpoint.href }),
    // The history remembers typed headers: they shall not outlive the browser tab.
    storage: window.sessionStorage,
    shouldPersistHeaders: false,
    defaultEditorToolsVisibility: "headers",
    defaultTabs: [{ query: QUERY }],
  }),
);
