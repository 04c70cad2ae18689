"""Which table holds the targets of a kind."""

from typing import Final

from ml.catalogue.metrics import TargetKind
from resolvers.store.tables.core import Link, Network, Site

TARGET_TABLES: Final[dict[TargetKind, type[Network | Site | Link]]] = {
    TargetKind.NETWORK: Network,
    TargetKind.SITE: Site,
    TargetKind.LINK: Link,
}
