// Where the editor finds its workers: our own files, so that no network and no blob: URL is needed.
const WORKERS = new Set(["graphql", "json"]);

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = WORKERS.has(label) ? label : "editor";
    return new Worker(new URL(`./${name}.worker.js`, import.meta.url));
  },
};
