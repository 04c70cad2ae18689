"""Lists are made once, and so are their statements; but no client can make them many."""

from sqlalchemy import select

from resolvers.detection.anomalies import build_listing
from resolvers.detection.filters import AnomalyFilter
from resolvers.fleet import topology
from resolvers.lists.listings import KEPT_LISTINGS, KEPT_STATEMENTS, LONGEST_KEY
from resolvers.store.postgres import rows
from resolvers.store.tables.core import Satellite


def test_the_same_list_is_made_once() -> None:
    assert topology.sites(None, "gw") is topology.sites(None, "gw")
    assert topology.sites(None, "gw") is not topology.sites(None, "other")


def test_filters_that_differ_in_values_share_their_statements() -> None:
    one, other, unlike = (
        build_listing(AnomalyFilter(min_confidence=0.1)),
        build_listing(AnomalyFilter(min_confidence=0.9)),
        build_listing(AnomalyFilter(satellite="Astra")),
    )

    assert one.statements is other.statements
    assert one.statements is not unlike.statements
    assert [dict(one.values), dict(other.values)] == [{"min_confidence": 0.1}, {"min_confidence": 0.9}]


def test_what_was_not_asked_for_in_a_while_is_forgotten() -> None:
    first, second = topology.links("first"), topology.links("second")
    for number in range(KEPT_LISTINGS - 1):
        topology.links(str(number))
        assert topology.links("second") is second

    assert topology.links("first") is not first


def test_long_arguments_are_not_kept() -> None:
    assert topology.links("x" * LONGEST_KEY) is not topology.links("x" * LONGEST_KEY)


def test_statements_of_a_list_are_bounded() -> None:
    some = topology.satellites()
    for number in range(3 * KEPT_STATEMENTS):
        some.get_statement(number, lambda: rows.compile_statement(select(Satellite.id)))
        assert len(some.statements) <= KEPT_STATEMENTS
