"""Lists the networks and their links, page by page."""

from collections.abc import AsyncIterator
from typing import TypedDict

from client import Session, run

NETWORKS = """
query Networks($after: String) {
  networks(first: 5, after: $after) {
    nodes { id number name band hub { name } satellite { name } }
    pageInfo { hasNextPage endCursor }
  }
}"""
LINKS = """
query Links($network: ID!, $after: String) {
  node(id: $network) {
    ... on Network {
      links(first: 20, after: $after) {
        nodes { number name inbound: grade(direction: IB) outbound: grade(direction: OB) }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}"""


class Named(TypedDict):
    name: str


class Network(Named):
    id: str
    number: int
    band: str
    hub: Named
    satellite: Named


class Link(Named):
    number: int
    inbound: float | None
    outbound: float | None


async def networks(session: Session) -> AsyncIterator[Network]:
    after, more = None, True
    while more:
        page = (await session.execute(NETWORKS, after=after))["networks"]
        for network in page["nodes"]:
            yield network
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]


async def links(session: Session, network: str) -> AsyncIterator[Link]:
    after, more = None, True
    while more:
        page = (await session.execute(LINKS, network=network, after=after))["node"]["links"]
        for link in page["nodes"]:
            yield link
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]


def graded(grade: float | None) -> str:
    return "   –" if grade is None else f"{grade:4.1f}"


async def main() -> None:
    session = Session()
    async for network in networks(session):
        hub, satellite = network["hub"]["name"], network["satellite"]["name"]
        print(f"{network['number']} {network['name']} ({network['band']} on {satellite}, hub {hub})")
        async for link in links(session, network["id"]):
            inbound, outbound = graded(link["inbound"]), graded(link["outbound"])
            print(f"  {link['number']:>6} {link['name']:<24} grade in {inbound} out {outbound}")


if __name__ == "__main__":
    run(main())
