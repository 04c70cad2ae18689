// Asks about a link what an operator asks: is this reading odd, why does the link degrade, and what helps?
import { parseArgs } from "node:util";
import { graphql } from "./generated/index.js";
import type { RecommendFor } from "./generated/graphql.js";
import { expect, Refused, run, Session } from "./session.js";

const FIRST = graphql(`query FirstLinkToDiagnose { links(first: 1) { nodes { id number name } } }`);
const LINK = graphql(`query LinkToDiagnose($number: Int!) { link(number: $number) { id number name } }`);
const DETECT = graphql(`
  mutation Detect($input: DetectLinkInput!) {
    detectLinkAnomaly(input: $input) {
      __typename
      ... on Detection { id isAnomaly anomalyScore confidence contributions { metric deviation } }
      ... on InvalidInput { message }
      ... on NotFound { message }
      ... on Forbidden { message }
    }
  }
`);
const ANALYZE = graphql(`
  mutation Analyze($link: ID!, $hours: Float!) {
    analyzeLinkBidirectional(link: $link, hoursLookback: $hours) {
      __typename
      ... on CorrelationAnalysis {
        id linksCompared
        patterns { rootCause confidence description affectedLinks { number } }
      }
      ... on InvalidInput { message }
      ... on NotFound { message }
      ... on Forbidden { message }
    }
  }
`);
const RECOMMEND = graphql(`
  mutation Recommend($for: RecommendFor!) {
    recommend(for: $for) {
      __typename
      ... on Recommendations { recommendations { priority title } }
      ... on InvalidInput { message }
      ... on NotFound { message }
      ... on Forbidden { message }
    }
  }
`);
const READING = { throughputMbps: 0.8, utilizationPct: 96, errors: 420, discards: 135, uptimePct: 83.5 };

type Link = { id: string; number: number; name: string };

/** The link of this number, or the first one. */
async function chosen(session: Session, number: string | undefined): Promise<Link> {
  const link =
    number === undefined
      ? (await session.execute(FIRST, {})).links.nodes[0]
      : (await session.execute(LINK, { number: Number(number) })).link;
  if (!link) throw new Refused("There is no such link.", "NotFound");
  return link;
}

/** Scores a reading that need not be stored, against the link's own past. The detection's id. */
async function detect(session: Session, link: string): Promise<string> {
  const { detectLinkAnomaly } = await session.execute(DETECT, { input: { link, direction: "OB", ...READING } });
  const { id, isAnomaly, anomalyScore, confidence, contributions } = expect("Detection", detectLinkAnomaly);
  const verdict = isAnomaly ? "an anomaly" : "ordinary";
  console.log(`Detection: ${verdict}, score ${anomalyScore.toFixed(2)}, confidence ${confidence.toFixed(2)}`);
  for (const { metric, deviation } of contributions.slice(0, 3))
    console.log(`  ${metric} is ${Math.abs(deviation).toFixed(0)} deviations ${deviation > 0 ? "above" : "below"} the usual`);
  return id;
}

/** Looks for the cause in what was recorded. The analysis's id; undefined if there is nothing to look at. */
async function analyze(session: Session, link: string, hours: number): Promise<string | undefined> {
  const result = (await session.execute(ANALYZE, { link, hours })).analyzeLinkBidirectional;
  if (result.__typename === "InvalidInput") {
    console.log(`No analysis: ${result.message}`);
    return undefined;
  }
  const { id, linksCompared, patterns } = expect("CorrelationAnalysis", result);
  console.log(`Analysis: ${linksCompared} links compared, ${patterns.length} patterns`);
  for (const { rootCause, confidence, description, affectedLinks } of patterns) {
    console.log(`  ${rootCause}, confidence ${confidence.toFixed(2)}, ${affectedLinks.length} links:`);
    console.log(`    ${description}`);
  }
  return patterns.length ? id : undefined;
}

async function recommend(session: Session, subject: RecommendFor): Promise<void> {
  const { recommend } = await session.execute(RECOMMEND, { for: subject });
  for (const [index, { priority, title }] of expect("Recommendations", recommend).recommendations.entries())
    console.log(`  ${index + 1}. ${priority.padEnd(6)} ${title}`);
}

await run(async () => {
  const { values } = parseArgs({ options: { link: { type: "string" }, hours: { type: "string", default: "24" } } });
  const session = new Session();
  const link = await chosen(session, values.link);
  console.log(`Link ${link.number}, ${link.name}:`);
  const detection = await detect(session, link.id);
  const analysis = await analyze(session, link.id, Number(values.hours));
  console.log(`Recommended for the ${analysis ? "analysis" : "detection"}:`);
  await recommend(session, analysis ? { analysis } : { detection });
});
