// The page: a bar to sign in and to pick an example, and GraphiQL below it.
import "./monaco.js";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "graphiql/graphiql.css";
import "./page.css";

import { DOC_EXPLORER_PLUGIN, DocExplorerStore } from "@graphiql/plugin-doc-explorer";
import { HISTORY_PLUGIN, HistoryStore } from "@graphiql/plugin-history";
import { GraphiQLProvider } from "@graphiql/react";
import { GraphiQL, GraphiQLInterface } from "graphiql";
import { createRoot } from "react-dom/client";

import { Bar } from "./bar.jsx";
import { examples } from "./examples/index.js";
import { fetcher } from "./transport.js";

// GraphiQL's history remembers typed headers and variables, secrets among them: they shall not outlive the browser tab.
const storage = window.sessionStorage;

function Page() {
  return (
    <GraphiQLProvider
      fetcher={fetcher}
      storage={storage}
      shouldPersistHeaders={false}
      schemaDescription
      plugins={[DOC_EXPLORER_PLUGIN, HISTORY_PLUGIN]}
      referencePlugin={DOC_EXPLORER_PLUGIN}
      defaultTabs={[{ query: examples[0].query, variables: examples[0].variables }]}
    >
      <HistoryStore>
        <DocExplorerStore>
          <Bar />
          <GraphiQLInterface showPersistHeadersSettings={false} defaultEditorToolsVisibility="variables">
            <GraphiQL.Logo>
              <span />
            </GraphiQL.Logo>
          </GraphiQLInterface>
        </DocExplorerStore>
      </HistoryStore>
    </GraphiQLProvider>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
