// Who signs in where: keeps the access token fresh, executes operations, tells failures apart.
import { graphql } from "./generated/index.js";
import type { SignInMutation, TypedDocumentString } from "./generated/graphql.js";

const SIGN_IN = graphql(`
  mutation SignIn($input: LoginInput!) {
    session: login(input: $input) {
      __typename
      ... on Session { accessToken refreshToken expiresAt }
      ... on InvalidCredentials { message }
      ... on InvalidInput { message }
      ... on Conflict { message }
    }
  }
`);
const REFRESH = graphql(`
  mutation Refresh($token: String!) {
    session: refreshSession(refreshToken: $token) {
      __typename
      ... on Session { accessToken refreshToken expiresAt }
      ... on InvalidCredentials { message }
      ... on InvalidInput { message }
      ... on Conflict { message }
    }
  }
`);
const FRESH_MS = 60_000; // an access token that ends sooner is not used any more

type Tokens = Extract<SignInMutation["session"], { __typename: "Session" }>;
export type ServerError = { message: string; extensions?: Record<string, unknown> };

/** The server answered, and said no. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly extensions: Record<string, unknown> = {},
  ) {
    super(message);
  }

  static of({ message, extensions = {} }: ServerError): Refused {
    return new Refused(message, String(extensions["code"] ?? "UNKNOWN"), extensions);
  }
}

/** There was no answer, or the connection ended: another attempt may help. */
export class Away extends Error {}

/** A result that may be one of our problems instead: `InvalidInput`, `Forbidden`, … */
export function expect<T extends { __typename: string }, Name extends T["__typename"]>(
  name: Name,
  result: T,
): Extract<T, { __typename: Name }> {
  if (result.__typename === name) return result as Extract<T, { __typename: Name }>;
  throw new Refused("message" in result ? String(result.message) : result.__typename, result.__typename);
}

/** An account at a server. By default the one of `make run`. */
export class Session {
  readonly url = process.env["BCOM_URL"] ?? "http://localhost:8010/graphql";
  readonly #email = process.env["BCOM_EMAIL"] ?? "noc@example.com";
  readonly #password = process.env["BCOM_PASSWORD"] ?? "demo-password";
  #tokens: Tokens | undefined;
  #renewing: Promise<Tokens> | undefined;

  /** The data that an operation answers with. */
  async execute<Data, Variables>(document: TypedDocumentString<Data, Variables>, variables: Variables): Promise<Data> {
    return this.#post(document, variables, await this.headers());
  }

  /** For HTTP, or for a WebSocket's `connection_init`. */
  async headers(): Promise<{ Authorization: string }> {
    if (!this.#tokens || Date.parse(this.#tokens.expiresAt) < Date.now() + FRESH_MS) {
      // A refresh token works once: whoever comes meanwhile waits for the same answer.
      this.#renewing ??= this.#renewed(this.#tokens).finally(() => (this.#renewing = undefined));
      this.#tokens = await this.#renewing;
    }
    return { Authorization: `Bearer ${this.#tokens.accessToken}` };
  }

  /** The server does not take the access token any more: the next one is a new one. */
  distrust(): void {
    if (this.#tokens) this.#tokens = { ...this.#tokens, expiresAt: new Date(0).toISOString() };
  }

  /** Refreshed if the server lets us, else signed in again. */
  async #renewed(tokens: Tokens | undefined): Promise<Tokens> {
    if (tokens) {
      const { session } = await this.#post(REFRESH, { token: tokens.refreshToken });
      if (session.__typename === "Session") return session;
    }
    const { session } = await this.#post(SIGN_IN, { input: { email: this.#email, password: this.#password } });
    return expect("Session", session);
  }

  async #post<Data, Variables>(
    document: TypedDocumentString<Data, Variables>,
    variables: Variables,
    headers: Record<string, string> = {},
  ): Promise<Data> {
    let answer: { data?: Data; errors?: ServerError[] };
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ query: document.toString(), variables }),
        signal: AbortSignal.timeout(60_000),
      });
      if (!response.headers.get("content-type")?.includes("json")) throw new Error(`HTTP ${response.status}, no JSON`);
      answer = await response.json();
    } catch (error) {
      throw new Away(`${this.url} does not answer: ${reason(error)}`);
    }
    if (answer.errors?.[0]) throw Refused.of(answer.errors[0]);
    return answer.data as Data;
  }
}

function reason(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : message;
}

/** A command: what went wrong is a line on standard error, not a stack. */
export async function run(command: () => Promise<void>): Promise<void> {
  process.stdout.on("error", () => process.exit(1)); // `| head` has seen enough
  try {
    await command();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Away || isUsage(error))) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

function isUsage(error: unknown): error is Error {
  return error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}
