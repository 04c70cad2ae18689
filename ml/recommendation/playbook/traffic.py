"""Capacity: who uses it, who should, and where there is more of it."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

TRAFFIC: Final = (
    Action(
        key="find_top_talkers",
        title="Find the top talkers on {target}",
        who="NOC",
        steps=(
            "From flow records, list the ten addresses and applications with the most bytes on {target} over the "
            "last 30 minutes, beside the same hour of last week. One that takes more than 30 % is the lead: an "
            "update server, a backup, a video stream or an infected machine. Ask its owner to pause it."
        ),
        check=(
            "With the talker paused, throughput on {target} is near {throughput_mbps} and utilisation of {link} near "
            "{utilization_pct} within 10 minutes."
        ),
        watch=(Metric.UTILIZATION_PCT, Metric.THROUGHPUT_MBPS, Metric.LATENCY_MS),
        tags=(Tag.CAPACITY, Tag.MONITORING),
        effort=Effort.LOOK,
        minutes=15,
    ),
    Action(
        key="shape_bulk_traffic",
        title="Shape updates, video and backups in {network} to 30 % of the carrier",
        who="Network engineer",
        steps=(
            "Put updates, streaming and cloud backups into the lowest class at the shaper of {hub}, with a ceiling "
            "of 30 % of the carrier in the busy hour. Voice and operations keep strict priority with at most 25 %. "
            "Limit the rule to the hours in which the carrier is full."
        ),
        check=("Latency on {target} is back at {latency_ms} and packet loss at {packet_loss_pct} within 15 minutes."),
        watch=(Metric.LATENCY_MS, Metric.PACKET_LOSS_PCT, Metric.DISCARDS),
        tags=(Tag.CAPACITY, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="correct_rate_profile",
        title="Compare CIR and MIR of {links} with the contracts",
        who="NOC",
        steps=(
            "Look for a profile that was raised for a test, a MIR above what the modem can carry, or committed rates "
            "that add up to more than the carrier holds; 60 to 70 % is safe. Set the profile of {links} to the "
            "contract, and tell the customers who ran above it."
        ),
        check=(
            "Utilisation of {link} is back at {utilization_pct} in the busy hour, and its count of discards at "
            "{discards}."
        ),
        watch=(Metric.THROUGHPUT_MBPS, Metric.UTILIZATION_PCT, Metric.DISCARDS),
        tags=(Tag.CONFIGURATION, Tag.CAPACITY, Tag.CUSTOMER),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="move_inroute_group",
        title="Move the busiest remotes of {network} to a less loaded inroute group",
        who="NOC",
        steps=(
            "Sort the inroute groups of {network} by utilisation in the busy hour and take from any above 85 % the "
            "two or three busiest remotes to one below 60 %. Keep small antennas off carriers with a higher symbol "
            "rate than their BUC can fill. Each remote is away for about a minute."
        ),
        check="Utilisation of each group is below 80 %, and latency of {link} is back at {latency_ms}.",
        watch=(Metric.UTILIZATION_PCT, Metric.LATENCY_MS, Metric.JITTER_MS),
        tags=(Tag.CAPACITY, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=20,
        direction=Direction.IB,
    ),
    Action(
        key="enlarge_carrier",
        title="Widen the carrier of {network} within the leased bandwidth",
        who="Capacity planner",
        steps=(
            "Compare the occupied with the leased bandwidth of {network}: a roll-off of 5 % in place of 20 % alone "
            "frees 12 %. Before raising the symbol rate, check HPA and transponder back-off, since the wider carrier "
            "wants as many dB more power. Change over in the quiet hour."
        ),
        check=(
            "In the busy hour, utilisation of {link} is back at {utilization_pct}, with Es/N0 no more than 0.5 dB "
            "lower."
        ),
        watch=(Metric.UTILIZATION_PCT, Metric.LATENCY_MS, Metric.PACKET_LOSS_PCT),
        tags=(Tag.CAPACITY, Tag.CONFIGURATION, Tag.RF),
        effort=Effort.REMOTE,
        minutes=60,
    ),
    Action(
        key="lease_bandwidth",
        title="Lease more bandwidth for {network} on {satellite}",
        who="Capacity planner",
        steps=(
            "Show a month of busy hours: when {network} stands above 85 % for more than an hour on 3 days of 5, "
            "shaping only moves the pain. Ask the operator of {satellite} for an occasional-use slot for this week "
            "and a quotation for steady use, with power in proportion."
        ),
        check="Busy-hour utilisation of {target} is below 75 %, and latency of {link} is at {latency_ms}.",
        watch=(Metric.UTILIZATION_PCT, Metric.LATENCY_MS),
        tags=(Tag.CAPACITY, Tag.VENDOR, Tag.SATELLITE),
        effort=Effort.CALL,
        minutes=2_880,
    ),
    Action(
        key="move_bulk_to_night",
        title="Agree with the customers of {links} to move bulk transfers into the night",
        who="Customer desk",
        steps=(
            "Send the customers of {links} their own curve with the transfers marked in it. Propose 1 to 5 o'clock "
            "at the remotes, with a doubled MIR in those hours in return; update servers can be scheduled to it "
            "centrally."
        ),
        check="From the next day, busy-hour utilisation of {link} is near {utilization_pct}.",
        watch=(Metric.UTILIZATION_PCT, Metric.LATENCY_MS),
        tags=(Tag.CAPACITY, Tag.CUSTOMER),
        effort=Effort.CALL,
        minutes=480,
    ),
    Action(
        key="raise_modcod",
        title="Lift a MODCOD ceiling that was left on {links}",
        who="NOC",
        steps=(
            "Compare MODCOD in use with what Es/N0 carries: 12 dB is enough for 16APSK 4/5 (11.0 dB), and a remote "
            "that sits at QPSK there wastes half of the carrier. Lift the ceiling left over from the last fade or "
            "test, one step per 5 minutes, with 1 dB of margin."
        ),
        check=("Throughput of {link} can reach {throughput_mbps} at a lower share of the carrier, without new errors."),
        watch=(Metric.THROUGHPUT_MBPS, Metric.UTILIZATION_PCT),
        tags=(Tag.CONFIGURATION, Tag.CAPACITY),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="free_stuck_bandwidth",
        title="Release bandwidth that {network} holds for silent remotes",
        who="NOC",
        steps=(
            "In the allocation table of {hub}, look for slots held by remotes that are logged off or that send "
            "nothing in 10 minutes. Release them, reset the demand counters, and set the idle timer to 60 seconds. "
            "Where the table disagrees with the burst plan, restart the allocator in the quiet hour."
        ),
        check="Free slots are above 15 % of the frame, and latency of {link} is back at {latency_ms}.",
        watch=(Metric.THROUGHPUT_MBPS, Metric.LATENCY_MS, Metric.UTILIZATION_PCT),
        tags=(Tag.SOFTWARE, Tag.HUB, Tag.CAPACITY),
        effort=Effort.REMOTE,
        minutes=15,
        direction=Direction.IB,
    ),
    Action(
        key="guard_priority_traffic",
        title="Reserve what is left on {links} for voice and operations",
        who="Network engineer",
        steps=(
            "Set voice (EF) and operations (AF31) before everything else at {hub} and in the modems, with 100 kbit/s "
            "reserved per remote, and drop best effort first. Check that markings survive the tunnel, since a "
            "cleared DSCP puts voice among the downloads."
        ),
        check=(
            "Loss in the voice class of {link} is below 0.5 % and its jitter near {jitter_ms}, whatever best effort "
            "does."
        ),
        watch=(Metric.PACKET_LOSS_PCT, Metric.JITTER_MS, Metric.LATENCY_MS),
        tags=(Tag.CONFIGURATION, Tag.CAPACITY, Tag.CUSTOMER),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="upgrade_plan",
        title="Offer the customer of {link} a larger plan",
        who="Customer desk",
        steps=(
            "When {link} alone stands at its MIR for more than 2 hours a day while the carrier has room, it is the "
            "plan that is too small. Send the customer 30 days of curves and the top applications; offer a trial of "
            "the next plan for a week."
        ),
        check=(
            "On trial, utilisation of {link} is below 80 % in its busy hour, and its count of discards is at "
            "{discards}."
        ),
        watch=(Metric.UTILIZATION_PCT, Metric.DISCARDS),
        tags=(Tag.CUSTOMER, Tag.CAPACITY),
        effort=Effort.CALL,
        minutes=2_880,
    ),
)
