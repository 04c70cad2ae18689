// Follows anomalies as they open, through lost connections and restarts of either side.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type Client } from "graphql-ws";
import { WebSocket } from "ws";
import { graphql } from "./generated/index.js";
import type { FollowSubscription, FollowSubscriptionVariables } from "./generated/graphql.js";
import { Away, Refused, run, Session, type ServerError } from "./session.js";

const FOLLOW = graphql(`
  subscription Follow($after: String!, $filter: AnomalyFilter) {
    anomalyDetected(after: $after, filter: $filter) {
      cursor
      anomaly {
        severity confidence startedAt direction
        contributions { metric deviation }
        target { kind: __typename ... on Network { name } ... on Site { name } ... on Link { name } }
      }
    }
  }
`);
const FORBIDDEN = 4403; // the close code for credentials that do not hold any more
const HOPELESS = [4400, 4401, 4406, 4409]; // our own mistakes against the protocol
const PASSING = ["LAGGED", "CURSOR_EXPIRED", "SERVICE_UNAVAILABLE", "RATE_LIMITED", "TIMEOUT", "UNAUTHENTICATED"];
const LONGEST_WAIT_MS = 30_000;
const KEEP_ALIVE_MS = 10_000;

type AnomalyEvent = FollowSubscription["anomalyDetected"];

/** Where we are in the log, in a file that is always whole. */
class Bookmark {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
    if (!existsSync(path)) this.#write({ after: "0", filter: { startedAfter: hourAgo } });
  }

  /** Before the first event there is no cursor: then all that the server keeps, but only what is young. */
  get variables(): FollowSubscriptionVariables {
    return JSON.parse(readFileSync(this.#path, "utf8"));
  }

  /** Behind an event. */
  move(cursor: string): void {
    this.#write({ after: cursor });
  }

  /** To where the server says. */
  skip(cursor: string): void {
    this.#write({ ...this.variables, after: cursor });
  }

  #write(variables: FollowSubscriptionVariables): void {
    writeFileSync(`${this.#path}.new`, JSON.stringify(variables));
    renameSync(`${this.#path}.new`, this.#path);
  }
}

/** Every event once. The bookmark moves when the caller asks for the next one, and so is done with this one. */
async function* follow(session: Session, bookmark: Bookmark): AsyncGenerator<AnomalyEvent> {
  for (let failures = 0; ; failures++) {
    let pause = 0;
    try {
      for await (const event of connected(session, bookmark)) {
        failures = 0;
        yield event;
        bookmark.move(event.cursor);
      }
    } catch (error) {
      if (!(error instanceof Away || (error instanceof Refused && PASSING.includes(error.code)))) throw error;
      console.error(error.message);
      if (error instanceof Refused) pause = recover(error, session, bookmark);
    }
    await sleep(Math.max(pause, waitMs(failures)));
  }
}

/** Events as long as one connection lasts. */
async function* connected(session: Session, bookmark: Bookmark): AsyncGenerator<AnomalyEvent> {
  const headers = await session.headers(); // here, not in `connectionParams`, where a failure counts as our mistake
  const variables = bookmark.variables;
  const client = clientOf(session.url, headers, () =>
    console.error(`Connected; following behind cursor ${variables.after}.`),
  );
  try {
    for await (const { data, errors } of client.iterate<FollowSubscription>({ query: FOLLOW.toString(), variables })) {
      if (errors?.[0]) throw errors;
      if (data) yield data.anomalyDetected;
    }
  } catch (error) {
    throw ended(error, session);
  } finally {
    client.terminate();
  }
}

/** We come back ourselves: of its own accord the client would ask behind the old cursor again. */
function clientOf(url: string, headers: Record<string, string>, onConnected: () => void): Client {
  let silence: NodeJS.Timeout | undefined;
  const client = createClient({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    connectionParams: headers,
    retryAttempts: 0,
    keepAlive: KEEP_ALIVE_MS,
    on: {
      connected: onConnected,
      ping: (received) => {
        if (!received) silence = setTimeout(() => client.terminate(), KEEP_ALIVE_MS); // a dead network says nothing
      },
      pong: (received) => received && clearTimeout(silence),
      closed: () => clearTimeout(silence),
    },
  });
  return client;
}

/** What the end of a connection means. */
function ended(error: unknown, session: Session): Error {
  if (Array.isArray(error)) return Refused.of(error[0] as ServerError);
  if (!isClose(error)) return new Away(`The connection is lost: ${error instanceof Error ? error.message : error}`);
  if (error.code === FORBIDDEN) session.distrust();
  const message = `The server closed the connection (${error.code}). ${error.reason}`.trimEnd();
  return HOPELESS.includes(error.code) ? new Refused(message, "PROTOCOL") : new Away(message);
}

function isClose(error: unknown): error is { code: number; reason: string } {
  return typeof error === "object" && error !== null && "code" in error && "reason" in error;
}

/** Take from the error where to go on, and when. */
function recover({ code, extensions }: Refused, session: Session, bookmark: Bookmark): number {
  if (code === "UNAUTHENTICATED") session.distrust();
  // LAGGED: we were too slow, and nothing is lost. CURSOR_EXPIRED: we were away for too long, and events are.
  const after = extensions["resumeAfter"] ?? extensions["oldestCursor"];
  if (typeof after === "string") bookmark.skip(after);
  return 1000 * Number(extensions["retryAfter"] ?? 0);
}

/** Longer each time, and by chance, so that a thousand clients do not come back at once. */
function waitMs(failures: number): number {
  return (0.5 + Math.random() / 2) * Math.min(LONGEST_WAIT_MS, 500 * 2 ** failures);
}

function told({ anomaly }: AnomalyEvent): string {
  const { target, direction, startedAt, severity } = anomaly;
  const confidence = `${Math.round(100 * anomaly.confidence)}%`.padStart(4);
  const where = [target.kind, target.name, direction].filter(Boolean).join(" ");
  const [worst] = anomaly.contributions;
  const side = worst && (worst.deviation > 0 ? "above" : "below");
  const why = worst ? `${worst.metric} is ${Math.abs(worst.deviation).toFixed(0)} deviations ${side} the usual` : "";
  return `${startedAt} ${severity.padEnd(8)} ${confidence} ${where.padEnd(32)} ${why}`.trimEnd();
}

await run(async () => {
  const bookmark = new Bookmark(process.argv[2] ?? "anomalies.cursor");
  for await (const event of follow(new Session(), bookmark)) console.log(told(event));
});
