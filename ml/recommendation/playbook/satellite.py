"""The satellite: its operator, its spectrum, and who else transmits to it."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

SPACE: Final = (
    Action(
        key="look_at_spectrum",
        title="Look at the spectrum under our carriers on {satellite}",
        who="NOC",
        steps=(
            "At {hub}, put the spectrum analyser on the carriers of {links}: 10 kHz resolution bandwidth, max hold "
            "over 10 minutes. Look for a hump or line that stands more than 3 dB above the neighbouring noise floor, "
            "sweeps, or comes and goes. Save the plot with time, centre frequency and bandwidth; every report asks "
            "for it."
        ),
        check=(
            "The plot explains what Es/N0 of {link} lost against {esno_db}: a clean noise floor means that there is "
            "no interferer, and the next cause is due."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.RF, Tag.MONITORING, Tag.SATELLITE),
        effort=Effort.LOOK,
        minutes=10,
    ),
    Action(
        key="report_interference",
        title="Report the interference to the operator of {satellite} with a spectrum plot",
        who="NOC",
        steps=(
            "Call the carrier monitoring centre of {satellite} and send the report: {transponder}, centre frequency, "
            "bandwidth, level against our carrier, first seen, pattern in time. Ask whether a test carrier or a "
            "newcomer on the neighbouring slot began then. Leave our own uplink power as it is: more power only "
            "makes two interferers."
        ),
        check=(
            "The operator gives a ticket number within 30 minutes, and Es/N0 of {links} is back at {esno_db} once "
            "the source is off."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.SATELLITE, Tag.VENDOR, Tag.RF),
        effort=Effort.CALL,
        minutes=120,
    ),
    Action(
        key="decode_carrier_id",
        title="Have the carrier ID of the interferer on {satellite} decoded",
        who="NOC",
        steps=(
            "Tune a carrier ID receiver (DVB-CID) at {hub} to the interferer, or have the operator of {satellite} do "
            "so; the ID lies some 27 dB under its host, so that decoding takes 5 to 15 minutes. It gives the "
            "modulator's serial number and a telephone number: call that, and ask for the carrier to be muted."
        ),
        check="The owner mutes the carrier, and within a minute Es/N0 of {link} is back at {esno_db}.",
        watch=(Metric.ESNO_DB,),
        tags=(Tag.SATELLITE, Tag.RF, Tag.MONITORING),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="geolocate_interferer",
        title="Order a geolocation of the interferer on {satellite}",
        who="NOC",
        steps=(
            "Ask the operator of {satellite} or a geolocation service for a two-satellite fix (TDOA and FDOA) of the "
            "interferer in {transponder}. Name the hours when it is on, since a fix takes 10 to 30 minutes of "
            "signal. Accept an ellipse of 20 to 100 km and compare it with our own sites and known teleports."
        ),
        check=("A site is named and its carrier switched off, and Es/N0 of {links} is back at {esno_db} for 24 hours."),
        watch=(Metric.ESNO_DB,),
        tags=(Tag.SATELLITE, Tag.VENDOR),
        effort=Effort.CALL,
        minutes=360,
    ),
    Action(
        key="move_carriers",
        title="Move the carriers of {links} to clean spectrum on {satellite}",
        who="NOC",
        steps=(
            "Agree with the operator of {satellite} on a slot with the same bandwidth, outside the interferer by at "
            "least a quarter of the symbol rate. Load the new frequency plan into {hub} and the remotes, the remotes "
            "first, and change over at an agreed minute with an automatic way back after 10 minutes."
        ),
        check=("All remotes are back within 15 minutes, and Es/N0 of {link} is at {esno_db} on the new frequency."),
        watch=(Metric.ESNO_DB, Metric.THROUGHPUT_MBPS),
        tags=(Tag.SATELLITE, Tag.CONFIGURATION, Tag.CAPACITY),
        effort=Effort.CALL,
        minutes=180,
    ),
    Action(
        key="change_transponder",
        title="Ask the operator of {satellite} for a substitute for {transponder}",
        who="Capacity planner",
        steps=(
            "Invoke the restoration clause of the contract for {satellite}: equal bandwidth and EIRP, on another "
            "transponder or the other polarisation. Check EIRP, G/T and gain setting of the new one in the link "
            "budget before any carrier goes up, and ask for a line-up slot."
        ),
        check=(
            "Es/N0 of {links} is within 1 dB of {esno_db} after line-up, and the old frequencies are free of our "
            "carriers."
        ),
        watch=(Metric.ESNO_DB, Metric.UPTIME_PCT),
        tags=(Tag.SATELLITE, Tag.CAPACITY, Tag.VENDOR),
        effort=Effort.CALL,
        minutes=360,
    ),
    Action(
        key="mute_remotes_in_groups",
        title="Mute the remotes on {satellite} group by group to find a rogue uplink",
        who="NOC",
        steps=(
            "Warn the customers. From {hub}, mute the transmitters of all remotes on the same transponder by half, "
            "then quarters, for 60 seconds each, while the spectrum analyser watches the interferer. It vanishes "
            "with the group that holds the rogue; halve until one is left, and leave that one muted. Do the same by "
            "power-off where a remote does not obey."
        ),
        check=(
            "With the rogue muted, Es/N0 of {links} is back at {esno_db} within 5 minutes; if muting all of them "
            "changes nothing, the source is not ours."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.PACKET_LOSS_PCT),
        tags=(Tag.RF, Tag.REMOTE, Tag.CUSTOMER),
        effort=Effort.REMOTE,
        minutes=60,
    ),
    Action(
        key="back_off_hub_amplifier",
        title="Lower the HPA of {hub} by 2 dB and look for intermodulation",
        who="Hub engineer",
        steps=(
            "Look at the output coupler of {hub}: third-order products must lie 25 dB under the carriers. Lower all "
            "carriers by 2 dB; where Es/N0 rises or stays, the amplifier was too near to saturation. Several "
            "carriers in one TWTA want 5 to 7 dB of output back-off, a linearised one 3 to 4 dB."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} with less power than before; if it falls by the 2 dB, put the "
            "power back."
        ),
        watch=(Metric.ESNO_DB, Metric.TX_POWER_DBM, Metric.ERRORS),
        tags=(Tag.RF, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=30,
        direction=Direction.OB,
    ),
    Action(
        key="check_transponder_back_off",
        title="Check the back-off of the transponder with the operator of {satellite}",
        who="NOC",
        steps=(
            "Ask the operator of {satellite} for input and output back-off of {transponder}, its gain setting and "
            "whether ALC or fixed gain is on. An overdriven transponder compresses every carrier: compare with the "
            "link budget, and lower whichever carrier is more than 0.5 dB above its contract, ours included."
        ),
        check="The operator confirms the planned back-off, and Es/N0 of {links} is back at {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.SATELLITE, Tag.RF),
        effort=Effort.CALL,
        minutes=90,
    ),
    Action(
        key="check_payload_health",
        title="Ask the operator of {satellite} about payload and attitude at the onset",
        who="NOC",
        steps=(
            "Give the operator of {satellite} the minute of the onset and what {transponder} lost in dB. Ask for "
            "TWTA switch-overs, changed gain steps, manoeuvres and attitude errors of that minute, and whether other "
            "customers complain. Get the expected time of recovery in writing, for our customers."
        ),
        check="Es/N0 of {links} is back at {esno_db} when the operator reports the payload nominal.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.UPTIME_PCT),
        tags=(Tag.SATELLITE, Tag.VENDOR),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="check_cross_polarisation",
        title="Have the cross-pol level under the carriers on {satellite} measured",
        who="NOC",
        steps=(
            "Ask the carrier monitoring of {satellite} what stands at our frequencies in the opposite polarisation "
            "of {transponder}. A mirror image of a cross-pol carrier under ours means somebody's feed is turned: "
            "isolation under 25 dB. The operator finds whose; where it is one of our remotes, mute it until a "
            "technician has turned its feed."
        ),
        check="The operator measures 30 dB of isolation again, and Es/N0 of {link} is back at {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.SATELLITE, Tag.RF, Tag.REMOTE),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="find_terrestrial_interferer",
        title="Search the horizon around {hub} for a terrestrial interferer",
        who="Hub engineer",
        steps=(
            "With a horn and a spectrum analyser, sweep the horizon at {hub} in the receive band; 5G in 3.4 to 3.8 "
            "GHz, radars and microwave links are the usual finds. It is terrestrial if it stays while the antenna is "
            "moved off {satellite} by 2°. Fit a band-pass filter before the LNA or shield the antenna, then complain "
            "to the regulator."
        ),
        check=(
            "Inbound Es/N0 of {links} is back at {esno_db}, and the noise floor is within 1 dB of its commissioning "
            "plot."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.RF, Tag.HUB, Tag.FIELD),
        effort=Effort.HUB,
        minutes=240,
        direction=Direction.IB,
    ),
    Action(
        key="freeze_power_control",
        title="Freeze uplink power control while {satellite} is interfered with",
        who="NOC",
        steps=(
            "Set uplink power control of {hub} and the automatic levels of the remotes to hold. Power control that "
            "answers interference drives the transponder into compression and hurts the neighbours as well. Note the "
            "setting in the shift log, since it has to go back to automatic before the next rain."
        ),
        check=(
            "Transmit power stays at {tx_power_dbm}, and Es/N0 of {link} loses no more; release the hold when the "
            "interferer is gone."
        ),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.RF, Tag.HUB, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=10,
    ),
    Action(
        key="use_robust_modcod",
        title="Lower the MODCOD ceiling of {links} until the errors stop",
        who="NOC",
        steps=(
            "Set the highest MODCOD at {hub} one step below what the present Es/N0 carries with 1 dB of margin (8PSK "
            "3/4 needs about 7.9 dB, QPSK 3/4 about 4.0 dB). From the one to the other a third of the capacity goes, "
            "so tell the customers with committed rates. Note the ceiling in the ticket, to lift it later."
        ),
        check=(
            "Packet loss of {link} is at {packet_loss_pct} within 5 minutes, at less throughput; lift the ceiling "
            "once the fault is over."
        ),
        watch=(Metric.PACKET_LOSS_PCT, Metric.THROUGHPUT_MBPS, Metric.ERRORS),
        tags=(Tag.CONFIGURATION, Tag.CAPACITY),
        effort=Effort.REMOTE,
        minutes=10,
    ),
)
