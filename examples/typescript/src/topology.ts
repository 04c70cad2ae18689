// Lists the networks and their links, page by page.
import { graphql } from "./generated/index.js";
import { run, Session } from "./session.js";

const NETWORKS = graphql(`
  query Networks($after: String) {
    networks(first: 5, after: $after) {
      nodes { id number name band hub { name } satellite { name } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const LINKS = graphql(`
  query Links($network: ID!, $after: String) {
    node(id: $network) {
      ... on Network {
        links(first: 20, after: $after) {
          nodes { number name inbound: grade(direction: IB) outbound: grade(direction: OB) }
          pageInfo { hasNextPage endCursor }
        }
      }
    }
  }
`);

type Page<T> = { nodes: T[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } };

/** All nodes of a connection. */
async function* paged<T>(page: (after: string | null) => Promise<Page<T>>): AsyncGenerator<T> {
  let after: string | null = null;
  for (;;) {
    const { nodes, pageInfo }: Page<T> = await page(after);
    yield* nodes;
    if (!pageInfo.hasNextPage) return;
    after = pageInfo.endCursor;
  }
}

const graded = (grade: number | null) => (grade?.toFixed(1) ?? "–").padStart(4);

await run(async () => {
  const session = new Session();
  const networks = paged(async (after) => (await session.execute(NETWORKS, { after })).networks);
  for await (const { id, number, name, band, hub, satellite } of networks) {
    console.log(`${number} ${name} (${band} on ${satellite.name}, hub ${hub.name})`);
    const links = paged(async (after) => {
      const { node } = await session.execute(LINKS, { network: id, after });
      if (!node || !("links" in node)) throw new Error(`The network ${number} has gone.`);
      return node.links;
    });
    for await (const link of links) {
      const grades = `grade in ${graded(link.inbound)} out ${graded(link.outbound)}`;
      console.log(`  ${String(link.number).padStart(6)} ${link.name.padEnd(24)} ${grades}`);
    }
  }
});
