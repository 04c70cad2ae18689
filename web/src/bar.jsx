// The bar on top: what this is, examples, and who you are.
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useState, useSyncExternalStore } from "react";

import { examples, fill } from "./examples/index.js";
import { getState, signedIn, signedOut, subscribe } from "./session.js";
import { login } from "./transport.js";

export function Bar() {
  const { session, hint } = useSyncExternalStore(subscribe, getState);
  return (
    <header className="bar">
      <h1>BCom GraphQL</h1>
      <Examples />
      {session ? <SignedIn user={session.user} /> : <SignIn hint={hint} />}
    </header>
  );
}

function Examples() {
  const { addTab, changeTab, stop } = useGraphiQLActions();
  const { tabs, queryEditor, variableEditor } = useGraphiQL(({ tabs, queryEditor, variableEditor }) => ({
    tabs,
    queryEditor,
    variableEditor,
  }));

  function open(index) {
    const example = examples[index];
    const opened = tabs.findIndex((tab) => tab.query === example.query);
    stop();
    if (opened >= 0) {
      changeTab(opened);
      return;
    }
    addTab();
    queryEditor.setValue(example.query);
    variableEditor.setValue(fill(example.variables));
  }

  return (
    <select aria-label="Examples" value="" onChange={(event) => open(Number(event.target.value))} disabled={!queryEditor}>
      <option value="" disabled hidden>
        Examples
      </option>
      {examples.map((example, index) => (
        <option key={example.title} value={index}>
          {example.title}
        </option>
      ))}
    </select>
  );
}

function SignIn({ hint }) {
  const { introspect } = useGraphiQLActions();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  async function submit(event) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem("");
    try {
      signedIn(await login(form.get("email"), form.get("password")));
      introspect(); // anonymous callers may have been refused the schema
    } catch (error) {
      setProblem(error.message);
    } finally {
      setBusy(false);
    }
  }

  return (
    <form className="account" onSubmit={submit}>
      <output className="hint">{problem || hint}</output>
      <input name="email" type="email" aria-label="E-mail" placeholder="E-mail" autoComplete="username" required />
      <input
        name="password"
        type="password"
        aria-label="Password"
        placeholder="Password"
        autoComplete="current-password"
        required
      />
      <button type="submit" disabled={busy}>
        Sign in
      </button>
    </form>
  );
}

function SignedIn({ user }) {
  return (
    <div className="account">
      <span className="who">{user.email}</span>
      <span className="role">{user.role}</span>
      <button type="button" onClick={signedOut}>
        Sign out
      </button>
    </div>
  );
}
