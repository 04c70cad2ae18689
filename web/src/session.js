// Who is signed in. Kept in memory, and in sessionStorage so that a reload keeps it; never in localStorage.
const KEY = "bcom-graphql:session";

let state = { session: stored(), hint: "" };
const listeners = new Set();

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function change(next) {
  state = { ...state, ...next };
  if (state.session) sessionStorage.setItem(KEY, JSON.stringify(state.session));
  else sessionStorage.removeItem(KEY);
  for (const listener of listeners) listener();
}

export const getState = () => state;

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const signedIn = ({ accessToken, user }) => change({ session: { accessToken, user }, hint: "" });

export const signedOut = () => change({ session: null, hint: "" });

/** The server did not accept the request's token, or missed one. */
export function refused() {
  const hint = state.session ? "Your session has ended. Sign in again." : state.hint || "Sign in to run this.";
  if (state.session || hint !== state.hint) change({ session: null, hint });
}

export const authorization = () => (state.session ? { Authorization: `Bearer ${state.session.accessToken}` } : {});
