// Records a batch of samples of a link, in columns, and tells what became of each row.
import { parseArgs } from "node:util";
import { graphql } from "./generated/index.js";
import type { LinkColumns } from "./generated/graphql.js";
import { expect, Refused, run, Session } from "./session.js";

const FIRST = graphql(`query FirstLink { links(first: 1) { nodes { number } } }`);
const USUAL = graphql(`
  query Usual($number: Int!) {
    link(number: $number) {
      statistics(direction: OB, metrics: [RX_LEVEL_DBM, LATENCY_MS]) { metric mean }
    }
  }
`);
const RECORD = graphql(`
  mutation Record($columns: LinkColumns!) {
    recordLinkColumns(columns: $columns) {
      __typename
      ... on RecordedMetrics {
        accepted duplicates rejectedCount rejected { row reason } leftOut { column reason count }
        anomalies { status severity confidence }
      }
      ... on InvalidInput { message }
      ... on Forbidden { message }
    }
  }
`);
const FADE_DB = 25;

type Usual = { level: number; latency: number };

/** What the link has measured lately; plausible values where it has measured nothing. */
async function usual(session: Session, number: number): Promise<Usual> {
  const { link } = await session.execute(USUAL, { number });
  if (!link) throw new Refused(`There is no link ${number}.`, "NotFound");
  const mean = (metric: string) => link.statistics.find((entry) => entry.metric === metric)?.mean;
  return { level: mean("RX_LEVEL_DBM") ?? -45, latency: mean("LATENCY_MS") ?? 600 };
}

/** Five minutes of one link, a row of a link that is not there, and one with a level that cannot be. */
function batch(number: number, { level, latency }: Usual, fade: number): LinkColumns {
  const now = Date.now();
  const ages = [4, 3, 2, 1, 0];
  const rows = ages.length + 2;
  return {
    link: [...ages.map(() => number), 0, number],
    direction: Array(rows).fill("OB"),
    at: [...ages.map((minutes) => now - 60_000 * minutes), now, now - 30_000],
    rxLevelDbm: [...ages.map((minutes) => (minutes ? level : level - fade)), -45, 999],
    latencyMs: Array(rows).fill(latency),
  };
}

async function record(session: Session, columns: LinkColumns): Promise<void> {
  const { recordLinkColumns } = await session.execute(RECORD, { columns });
  const recorded = expect("RecordedMetrics", recordLinkColumns);
  console.log(`${recorded.accepted} accepted, ${recorded.duplicates} duplicates, ${recorded.rejectedCount} rejected`);
  for (const { row, reason } of recorded.rejected) console.log(`  row ${row}: ${reason}`);
  for (const { column, reason, count } of recorded.leftOut)
    console.log(`  ${count} left out of ${column}: ${reason}`);
  for (const { status, severity, confidence } of recorded.anomalies)
    console.log(`  anomaly: ${status}, ${severity}, confidence ${confidence.toFixed(2)}`);
}

await run(async () => {
  const { values } = parseArgs({ options: { link: { type: "string" }, fault: { type: "boolean" } } });
  const session = new Session();
  const number = values.link ? Number(values.link) : (await session.execute(FIRST, {})).links.nodes[0]?.number;
  if (number === undefined) throw new Refused("There are no links yet.", "NotFound");
  const columns = batch(number, await usual(session, number), values.fault ? FADE_DB : 0);
  console.log(`Link ${number}:`);
  await record(session, columns);
  console.log("The same once more, as after a lost answer:");
  await record(session, columns);
});
