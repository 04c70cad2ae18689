// How operations reach the server: HTTP for queries and mutations, one graphql-ws socket for subscriptions.
import { getOperationAST, parse } from "graphql";
import { CloseCode, createClient } from "graphql-ws";

import { authorization, getState, refused, subscribe } from "./session.js";

const endpoint = new URL(window.location.pathname, window.location.origin);
const socketEndpoint = new URL(endpoint);
socketEndpoint.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const CLOSE_REASONS = {
  [CloseCode.BadRequest]: "Bad request",
  [CloseCode.Unauthorized]: "Unauthorized",
  [CloseCode.Forbidden]: "Forbidden",
  [CloseCode.ConnectionInitialisationTimeout]: "it was not initialised in time",
  [CloseCode.TooManyInitialisationRequests]: "Too many initialisation requests",
  1001: "the server is going away",
  1006: "it was lost or refused",
  1012: "the server is restarting",
  1013: "the server is busy, try again later",
};

const usesOwnToken = (typed) => !Object.keys(typed).some((name) => name.toLowerCase() === "authorization");

/** Headers typed by hand win over ours. */
const credentials = (typed) => ({ ...(usesOwnToken(typed) ? authorization() : {}), ...typed });

function noticeRefusal(result, typed) {
  const codes = (result?.errors ?? []).map((error) => error.extensions?.code);
  if (codes.includes("UNAUTHENTICATED") && usesOwnToken(typed)) refused();
}

export async function post(body, typed = {}, own = credentials(typed)) {
  const headers = new Headers({
    Accept: "application/graphql-response+json, application/json",
    "Content-Type": "application/json",
  });
  for (const [name, value] of Object.entries(own)) headers.set(name, value);
  const response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `The server answered ${response.status}: ${text.slice(0, 500) || response.statusText}` }] };
  }
}

async function request(body, typed) {
  const token = getState().session?.accessToken;
  const result = await post(body, typed);
  // A late answer to an older token says nothing about the present one.
  if (token === getState().session?.accessToken) noticeRefusal(result, typed);
  return result;
}

let socket = { key: null, client: null };

function closeSocket() {
  socket.client?.dispose();
  socket = { key: null, client: null };
}

subscribe(closeSocket);

/** A socket carries one identity, so other credentials need another socket. */
function socketWith(connectionParams) {
  const key = JSON.stringify(connectionParams);
  if (socket.key !== key) {
    closeSocket();
    // No silent retry: it would skip the events in between, and nobody would know.
    const client = createClient({ url: socketEndpoint.href, connectionParams, lazy: true, retryAttempts: 0 });
    socket = { key, client };
  }
  return socket.client;
}

function explain(failure) {
  if (Array.isArray(failure)) return failure;
  if (typeof failure?.code === "number") {
    const reason = failure.reason || CLOSE_REASONS[failure.code] || "no reason given";
    return [{ message: `The connection was closed: ${reason}`, extensions: { closeCode: failure.code } }];
  }
  return [{ message: failure?.message || "The connection failed." }];
}

function stream(body, typed) {
  return {
    subscribe(sink) {
      let latest = {};
      const stop = socketWith(credentials(typed)).subscribe(body, {
        next(result) {
          latest = result;
          noticeRefusal(result, typed);
          sink.next(result);
        },
        error(failure) {
          const errors = explain(failure);
          sink.next({ errors, ...(latest.data ? { data: latest.data } : {}) });
          sink.complete();
          noticeRefusal({ errors }, typed);
          if ([CloseCode.Unauthorized, CloseCode.Forbidden].includes(failure?.code) && usesOwnToken(typed)) refused();
        },
        complete: () => sink.complete(),
      });
      return { unsubscribe: stop };
    },
  };
}

/** The operation to run. GraphiQL may still name the former document's just after a change of tab. */
function operationOf({ query, operationName }) {
  try {
    const document = parse(query);
    return getOperationAST(document, operationName) ?? getOperationAST(document);
  } catch {
    return null; // the server says what is wrong with it
  }
}

export function fetcher(body, { headers } = {}) {
  const typed = headers ?? {};
  const operation = operationOf(body);
  const operationName = operation ? operation.name?.value : body.operationName;
  const send = operation?.operation === "subscription" ? stream : request;
  return send({ ...body, operationName }, typed);
}

const LOGIN = `mutation SignIn($input: LoginInput!) {
  login(input: $input) {
    __typename
    ... on Session { accessToken user { email role } }
    ... on Problem { message }
  }
}`;

/** Returns the session, or throws an Error to show. */
export async function login(email, password) {
  // Without our own token: an expired one must not stand in the way of a new one.
  const result = await post({ query: LOGIN, variables: { input: { email, password } } }, {}, {});
  const answer = result.data?.login;
  if (answer?.__typename === "Session") return answer;
  throw new Error(answer?.message ?? result.errors?.[0]?.message ?? "Signing in failed.");
}
