"""Rain, snow and the sun: most of it is waited for, some of it prepared."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

SKY: Final = (
    Action(
        key="watch_rain_radar",
        title="Watch the rain radar for {target} and wait for the cell to pass",
        who="NOC",
        steps=(
            "Compare radar or forecast for {target} with the depth of the fade, and ask a neighbouring site whether "
            "it rains. Half of all fades beyond 3 dB end within 30 minutes, nearly all within 80. Leave pointing and "
            "power alone while it rains, and set a reminder for the end of the cell."
        ),
        check=(
            "Es/N0 of {link} climbs back to {esno_db} within 20 minutes after the cell has passed; if it stays low "
            "under a clear sky, it was not the rain."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.WEATHER, Tag.MONITORING),
        effort=Effort.LOOK,
        minutes=40,
    ),
    Action(
        key="check_power_control_range",
        title="Check what uplink power control has left for {links}",
        who="NOC",
        steps=(
            "Read how far the transmitter is below its 1 dB compression point: 6 dB of range in Ku band, 10 dB in Ka "
            "band are usual. Let uplink power control work within that, and stop it 1 dB below compression, since a "
            "saturated BUC or HPA spreads into the neighbours and gains nothing. Confirm with the hub that the total "
            "back-off still holds."
        ),
        check=(
            "Transmit power rises with the fade and falls to {tx_power_dbm} after it, while Es/N0 of {link} stays "
            "within 1 dB of {esno_db}."
        ),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.WEATHER, Tag.RF, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="let_acm_follow",
        title="Open the lowest MODCODs of {network} to ACM and widen its margin",
        who="NOC",
        steps=(
            "Check that ACM of {network} may go down to QPSK 1/4 (about −2.3 dB). Raise its margin to 1.0 to 1.5 dB "
            "while the fade moves by up to 2 dB per minute, and confirm that the return message of each remote "
            "arrives every second. A remote stuck on a high MODCOD is restarted from the hub."
        ),
        check=(
            "Packet loss of {link} is at {packet_loss_pct} at a lower MODCOD; set the margin back to 0.5 dB when the "
            "sky is clear."
        ),
        watch=(Metric.PACKET_LOSS_PCT, Metric.ESNO_DB, Metric.THROUGHPUT_MBPS),
        tags=(Tag.WEATHER, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=10,
    ),
    Action(
        key="switch_to_diversity_hub",
        title="Move {network} from {hub} to the diversity site",
        who="NOC",
        steps=(
            "Confirm that it does not rain at the diversity site, that its carriers are lined up within 0.5 dB and "
            "its configuration is in step with {hub}. Mute at {hub} first, then unmute there: two stations on one "
            "frequency jam each other. Warn whoever works at the diversity antenna before it transmits."
        ),
        check=(
            "All remotes of {network} log in within 5 minutes, and Es/N0 of {link} is back at {esno_db}; go back "
            "only after 30 minutes of clear sky."
        ),
        watch=(Metric.ESNO_DB, Metric.PACKET_LOSS_PCT, Metric.UPTIME_PCT),
        tags=(Tag.WEATHER, Tag.HUB, Tag.SAFETY),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="lower_symbol_rate",
        title="Move {links} to a narrower carrier while the fade lasts",
        who="NOC",
        steps=(
            "Halving the symbol rate at the same power gives 3 dB of Es/N0. Assign {links} to the inroute group or "
            "the spare carrier with half the symbol rate, committed traffic first. Tell the customers that "
            "throughput is halved."
        ),
        check=(
            "Es/N0 of {link} has gained 3 dB and packet loss is near {packet_loss_pct}; put it back when 3 dB of "
            "margin have returned."
        ),
        watch=(Metric.ESNO_DB, Metric.PACKET_LOSS_PCT, Metric.THROUGHPUT_MBPS),
        tags=(Tag.WEATHER, Tag.CONFIGURATION, Tag.CAPACITY),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="renew_feed_cover",
        title="Renew the hydrophobic cover of the feed at {target}",
        who="Field technician",
        steps=(
            "Where rain costs more at {target} than at its neighbours, or the loss outlasts the rain by 15 minutes, "
            "water stands on the feed window. Mute the transmitter and wait for confirmation by phone before anybody "
            "reaches in front of the feed. Clean the window, renew the hydrophobic coating (it lasts 6 to 24 months) "
            "and dry the horn."
        ),
        check=(
            "In the next rain, Es/N0 of {link} falls no further than at the neighbours, and is at {esno_db} within 5 "
            "minutes after it."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.WEATHER, Tag.FIELD, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=1_440,
    ),
    Action(
        key="start_de_icing",
        title="Switch on the de-icing of the antenna at {target}",
        who="NOC",
        steps=(
            "At 2 °C and below with precipitation, wet snow costs 3 to 10 dB and moves the beam. Switch on reflector "
            "and feed heaters of {target} by hand if the automatic sensor did not, and check that each phase draws "
            "current. Heating from cold takes about an hour."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} within 90 minutes; if one phase draws no current, the snow has to "
            "be swept off."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.WEATHER, Tag.POWER, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=90,
    ),
    Action(
        key="sweep_snow_off",
        title="Have snow and ice swept off the antenna at {site}",
        who="Customer on site",
        steps=(
            "Ask somebody at {site} for a photograph of the antenna. Mute the transmitter from the hub first, and "
            "say when it is off. Then have the reflector and feed swept from the ground with a soft long-handled "
            "broom: no ladder on ice, no tools on the feed, nothing pushed against the mount."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} right after the sweep; if it stays low in both directions, the "
            "mount has moved."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.WEATHER, Tag.CUSTOMER, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="look_up_sun_outage",
        title="Look {links} up in the sun-outage calendar and wait until it ends",
        who="NOC",
        steps=(
            "Compute this week's sun outages towards {satellite}, for {hub} where inbound fell and for the remotes "
            "where outbound fell, from coordinates, dish diameter and frequency: at most 12 minutes a day, around "
            "the equinoxes. Where onset and end agree within 2 minutes, do nothing: no repointing, no more power, no "
            "swapped unit."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} at the computed end; an outage that lasts more than 3 minutes "
            "longer has another cause."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.WEATHER, Tag.MONITORING, Tag.SATELLITE),
        effort=Effort.LOOK,
        minutes=15,
    ),
    Action(
        key="announce_sun_outages",
        title="Tell the customers of {links} the sun-outage times of the coming days",
        who="Customer desk",
        steps=(
            "Send the customers of {links} the computed minutes for each remaining day of the season, with the share "
            "of the service that is lost. Ask them to move transfers, calls and payment runs out of those minutes. "
            "Enter the times as planned outages, so that they do not count against the service level."
        ),
        check="No ticket comes in at the next outage, and uptime of {link} outside it is at {uptime_pct}.",
        watch=(Metric.UPTIME_PCT, Metric.ESNO_DB),
        tags=(Tag.WEATHER, Tag.CUSTOMER),
        effort=Effort.CALL,
        minutes=20,
    ),
    Action(
        key="freeze_tracking_in_sun",
        title="Hold the antenna of {hub} in memory track during the sun outage",
        who="Hub engineer",
        steps=(
            "A beacon receiver may take the sun's noise for the beacon and pull the antenna off {satellite}. From 10 "
            "minutes before until 10 minutes after the computed outage, put {hub} into memory track, and then back "
            "into step track."
        ),
        check="When the outage is over, Es/N0 of {link} returns to {esno_db} in one piece, without a slow tail.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.WEATHER, Tag.HUB, Tag.RF),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="route_around_sun",
        title="Route vital traffic of {network} over the diversity site until the sun is past",
        who="Network engineer",
        steps=(
            "The outage at a receiver 500 km further east or west comes minutes earlier or later. Move committed "
            "traffic of {network} to the other station 2 minutes before the computed start at {hub} and back 2 "
            "minutes after its end, with both stations never on one frequency at a time."
        ),
        check="Packet loss of {link} stays at {packet_loss_pct} through the outage.",
        watch=(Metric.PACKET_LOSS_PCT, Metric.UPTIME_PCT),
        tags=(Tag.WEATHER, Tag.CONFIGURATION, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=15,
        direction=Direction.IB,
    ),
    Action(
        key="ride_out_sun",
        title="Keep {links} locked through the sun outage on QPSK 1/4",
        who="NOC",
        steps=(
            "Five minutes before the computed start, hold ACM of {network} at QPSK 1/4 and lengthen the log-off "
            "timer of the remotes to 15 minutes, so that they need not acquire again. Undo both at the end."
        ),
        check="Uptime of {links} is at {uptime_pct} on the next day's outage, and nobody has to log in again.",
        watch=(Metric.UPTIME_PCT, Metric.PACKET_LOSS_PCT, Metric.ESNO_DB),
        tags=(Tag.WEATHER, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=15,
    ),
)
