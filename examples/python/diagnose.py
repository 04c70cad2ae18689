"""Asks about a link what an operator asks: is this reading odd, why does the link degrade, and what helps?"""

import argparse
from typing import Any

from client import Refused, Session, expect, run

FIRST = "query FirstLink { links(first: 1) { nodes { id number name } } }"
LINK = "query Link($number: Int!) { link(number: $number) { id number name } }"
DETECT = """
mutation Detect($input: DetectLinkInput!) {
  detectLinkAnomaly(input: $input) {
    __typename
    ... on Detection { id isAnomaly anomalyScore confidence contributions { metric deviation } }
    ... on Problem { message }
  }
}"""
ANALYZE = """
mutation Analyze($link: ID!, $hours: Float!) {
  analyzeLinkBidirectional(link: $link, hoursLookback: $hours) {
    __typename
    ... on CorrelationAnalysis {
      id linksCompared
      patterns { rootCause confidence description affectedLinks { number } }
    }
    ... on Problem { message }
  }
}"""
RECOMMEND = """
mutation Recommend($for: RecommendFor!) {
  recommend(for: $for) {
    __typename
    ... on Recommendations { recommendations { priority title } }
    ... on Problem { message }
  }
}"""
READING = {"throughputMbps": 0.8, "utilizationPct": 96, "errors": 420, "discards": 135, "uptimePct": 83.5}


async def chosen(session: Session, number: int | None) -> dict[str, Any]:
    """The link of this number, or the first one."""
    if number is None:
        links = (await session.execute(FIRST))["links"]["nodes"]
        link = links[0] if links else None
    else:
        link = (await session.execute(LINK, number=number))["link"]
    if link is None:
        raise Refused("There is no such link.", "NotFound")
    return dict(link)


async def detect(session: Session, link: str) -> str:
    """Scores a reading that need not be stored, against the link's own past. The detection's id."""
    answer = await session.execute(DETECT, input={"link": link, "direction": "OB", **READING})
    detection = expect("Detection", answer["detectLinkAnomaly"])
    verdict = "an anomaly" if detection["isAnomaly"] else "ordinary"
    print(f"Detection: {verdict}, score {detection['anomalyScore']:.2f}, confidence {detection['confidence']:.2f}")
    for part in detection["contributions"][:3]:
        side = "above" if part["deviation"] > 0 else "below"
        print(f"  {part['metric']} is {abs(part['deviation']):.0f} deviations {side} the usual")
    return str(detection["id"])


async def analyze(session: Session, link: str, hours: float) -> str | None:
    """Looks for the cause in what was recorded. The analysis's id; None if there is nothing to look at."""
    result = (await session.execute(ANALYZE, link=link, hours=hours))["analyzeLinkBidirectional"]
    if result["__typename"] == "InvalidInput":
        print(f"No analysis: {result['message']}")
        return None
    analysis = expect("CorrelationAnalysis", result)
    print(f"Analysis: {analysis['linksCompared']} links compared, {len(analysis['patterns'])} patterns")
    for pattern in analysis["patterns"]:
        print(
            f"  {pattern['rootCause']}, confidence {pattern['confidence']:.2f}, {len(pattern['affectedLinks'])} links:"
        )
        print(f"    {pattern['description']}")
    return str(analysis["id"]) if analysis["patterns"] else None


async def recommend(session: Session, subject: dict[str, str]) -> None:
    result = (await session.execute(RECOMMEND, **{"for": subject}))["recommend"]
    for number, action in enumerate(expect("Recommendations", result)["recommendations"], 1):
        print(f"  {number}. {action['priority']:<6} {action['title']}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--link", type=int, help="its number (the first one's)")
    parser.add_argument("--hours", type=float, default=24, help="how far back to look for the cause (24)")
    wanted = parser.parse_args()
    session = Session()
    link = await chosen(session, wanted.link)
    print(f"Link {link['number']}, {link['name']}:")
    detection = await detect(session, link["id"])
    analysis = await analyze(session, link["id"], wanted.hours)
    print(f"Recommended for the {'analysis' if analysis else 'detection'}:")
    await recommend(session, {"analysis": analysis} if analysis else {"detection": detection})


if __name__ == "__main__":
    run(main())
