"""The view of the satellite: what stands in it, and how to see past it."""

from typing import Final

from ml.catalogue.metrics import Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

VIEW: Final = (
    Action(
        key="ask_for_heading",
        title="Ask the bridge of {site} to turn by 20° or to shift its berth",
        who="Ship's officer",
        steps=(
            "Compute the bearing of {satellite} relative to the bow of {site}: a mast or funnel there explains the "
            "loss. Ask the bridge, as traffic and weather allow, for a heading 20° off the present one, or alongside "
            "for another berth. The master decides."
        ),
        check=("Es/N0 of {link} is back at {esno_db} within 5 minutes on the new heading, and falls again on the old."),
        watch=(Metric.ESNO_DB, Metric.UPTIME_PCT, Metric.RX_LEVEL_DBM),
        tags=(Tag.CUSTOMER, Tag.REMOTE),
        effort=Effort.CALL,
        minutes=30,
        mobile=True,
    ),
    Action(
        key="compare_blockage_map",
        title="Compare heading and azimuth of {site} with its blockage map",
        who="NOC",
        steps=(
            "Plot the outages of {link} of the last 7 days against relative azimuth and elevation, and lay the "
            "blockage zones of the antenna controller of {site} over them. Outages that repeat within 5° prove a "
            "fixed obstacle aboard; tell the bridge when the voyage leaves the sector."
        ),
        check=(
            "Outside the sector, Es/N0 of {link} is at {esno_db}; if outages fall into no sector, something new "
            "stands in the way."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.UPTIME_PCT),
        tags=(Tag.REMOTE, Tag.MONITORING),
        effort=Effort.LOOK,
        minutes=15,
        mobile=True,
    ),
    Action(
        key="set_blockage_zones",
        title="Correct the blockage zones in the antenna controller of {site}",
        who="NOC",
        steps=(
            "Enter the sector that the outages of {link} show, with 3° on both sides and up to the elevation of the "
            "obstacle. Within it the controller must mute the transmitter, which also keeps radiation off crew on "
            "the mast deck, and must not start a search. Free any zone that is entered but clear."
        ),
        check=(
            "At the next passage through the sector, {site} mutes and waits, and Es/N0 of {link} is back at "
            "{esno_db} within 30 seconds after it."
        ),
        watch=(Metric.UPTIME_PCT, Metric.ESNO_DB),
        tags=(Tag.REMOTE, Tag.CONFIGURATION, Tag.SAFETY),
        effort=Effort.REMOTE,
        minutes=45,
        mobile=True,
    ),
    Action(
        key="switch_to_second_antenna",
        title="Switch {site} to its second antenna",
        who="NOC",
        steps=(
            "Where {site} has two antennas, check that the arbitrator sees both locked and hands over when the "
            "active one enters its blockage zone. Switch by hand once; a hand-over of more than 10 seconds means "
            "that the second one does not track while it waits."
        ),
        check=(
            "Es/N0 of {link} is at {esno_db} on the second antenna, and the next blockage costs less than 10 seconds."
        ),
        watch=(Metric.UPTIME_PCT, Metric.ESNO_DB),
        tags=(Tag.REMOTE, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=10,
        mobile=True,
    ),
    Action(
        key="look_for_obstacle",
        title="Have somebody photograph the view from the antenna at {site} towards {satellite}",
        who="Customer on site",
        steps=(
            "Send {site} azimuth and elevation of {satellite} and a compass app. Ask for a photograph from beside "
            "the antenna, never from in front of it, and from the ground: cranes, scaffolding, containers, a new "
            "roof or grown trees. Whatever stands within 5° of the line counts. Have it moved, cut or lowered."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} as soon as the obstacle is gone; a clear view means that the mount "
            "or the electronics comes next."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.CUSTOMER, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=45,
    ),
    Action(
        key="choose_higher_satellite",
        title="Hand {site} over to a beam or satellite that stands higher there",
        who="Capacity planner",
        steps=(
            "Under 15° of elevation, masts and cranes block much more. Look for another beam in the fleet that "
            "{site} sees at least 10° higher, check polarisation and permission to transmit, load its options file "
            "and order the hand-over."
        ),
        check="Uptime of {link} is at {uptime_pct} for 24 hours on the new beam.",
        watch=(Metric.UPTIME_PCT, Metric.ESNO_DB),
        tags=(Tag.SATELLITE, Tag.CONFIGURATION, Tag.REMOTE),
        effort=Effort.REMOTE,
        minutes=60,
    ),
    Action(
        key="use_cellular_backup",
        title="Carry the vital traffic of {site} over its 4G or L-band backup",
        who="Network engineer",
        steps=(
            "Bring up the backup of {site} and route only voice, payment and operations over it, with a cap (often "
            "100 MB a day on L-band). Tell the customer what is not carried. It bridges the time until the view is "
            "free or the repair done."
        ),
        check=(
            "Uptime of the service at {site} is at {uptime_pct}, and the routes fall back by themselves when {link} "
            "returns."
        ),
        watch=(Metric.UPTIME_PCT, Metric.PACKET_LOSS_PCT),
        tags=(Tag.REMOTE, Tag.CUSTOMER, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="relocate_antenna",
        title="Move or raise the antenna of {site} clear of the obstacle",
        who="Field technician",
        steps=(
            "Survey {site} for a place that sees {satellite} with 5° clear around the line, or for a mast extension "
            "that keeps the wind load within its rating. Work at height wants fall protection, a permit and two "
            "people, with the transmitter muted and locked out. Then line up again with {hub}."
        ),
        check="Es/N0 of {link} is at {esno_db} for 7 days, on every heading and at every hour.",
        watch=(Metric.UPTIME_PCT, Metric.ESNO_DB),
        tags=(Tag.FIELD, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=4_320,
    ),
)
