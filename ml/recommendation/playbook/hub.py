"""The hub's chain, from the modulator to the amplifier and back to the demodulator, and its cables, air and power."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

HUB: Final = (
    Action(
        key="read_hub_alarms",
        title="Read the alarm log of {hub}'s chain for the minute of the onset",
        who="NOC",
        steps=(
            "In the monitoring and control system of {hub}, list the alarms and redundancy switch-overs of the chain "
            "of {network} in the 10 minutes around the onset. Look for an amplifier fault, an unlocked converter, a "
            "lost 10 MHz reference and a switch that ended in the wrong position. The first alarm names the unit; "
            "put that one back or switch to its twin."
        ),
        check=(
            "The unit named shows no alarm, and Es/N0 of {link} is back at {esno_db} within 10 minutes; if no alarm "
            "was logged, the fault lies outside the monitored units."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.TX_POWER_DBM),
        tags=(Tag.HUB, Tag.MONITORING),
        effort=Effort.LOOK,
        minutes=10,
    ),
    Action(
        key="switch_hub_amplifier",
        title="Switch {network} to the standby HPA at {hub}",
        who="Hub engineer",
        steps=(
            "Confirm that the standby HPA at {hub} is warm (a TWTA needs 3 to 5 minutes of heater delay), set to the "
            "same gain and muted. Mute the failing amplifier, move the 1:1 waveguide switch, then unmute and step "
            "the output up to the power of before, never beyond the licensed EIRP. Leave the failed unit muted for "
            "inspection."
        ),
        check=(
            "Transmit power of {hub} is back at {tx_power_dbm} and Es/N0 of {link} at {esno_db} within 10 minutes; "
            "if neither moved, the fault is upstream of the amplifier."
        ),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.RF, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=15,
        direction=Direction.OB,
    ),
    Action(
        key="measure_hub_amplifier",
        title="Measure forward and reflected power of the HPA at {hub}",
        who="Hub engineer",
        steps=(
            "Read forward power, reflected power and, on a TWTA, the helix current at {hub}. Reflected power above 5 "
            "% of forward power points at the waveguide or the feed; a helix current more than 10 % above its "
            "commissioning value points at the tube. Mute the HPA and lock it out before anybody opens a flange, and "
            "check with a radiation meter that the feed is cold."
        ),
        check=("Transmit power is steady at {tx_power_dbm} within 0.3 dB for an hour, with reflected power below 1 %."),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.RF, Tag.HUB, Tag.SAFETY),
        effort=Effort.HUB,
        minutes=60,
        direction=Direction.OB,
    ),
    Action(
        key="switch_hub_modulator",
        title="Switch the outbound carrier of {network} to the standby modulator at {hub}",
        who="Hub engineer",
        steps=(
            "Compare symbol rate, roll-off, MODCOD table and output level of the two modulators at {hub}: they must "
            "agree to 0.5 dB. Mute the one on air, then start the carrier on its twin. The remotes reacquire within "
            "2 to 5 minutes."
        ),
        check=(
            "Every remote of {network} is locked, and Es/N0 of {link} is back at {esno_db}; if the outbound still "
            "misses, go on with the upconverter."
        ),
        watch=(Metric.ESNO_DB, Metric.ERRORS, Metric.UPTIME_PCT),
        tags=(Tag.HUB, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=10,
        direction=Direction.OB,
    ),
    Action(
        key="switch_hub_demodulator",
        title="Move the inbound carriers of {network} to the standby demodulator at {hub}",
        who="Hub engineer",
        steps=(
            "With the level unchanged and only Es/N0 down, the receiver itself is suspect. Load the burst plan of "
            "{network} into the standby demodulator at {hub}, move the carriers over and compare Es/N0 of the same "
            "remotes on both units."
        ),
        check=(
            "Inbound Es/N0 of {links} is back at {esno_db} with the level as before, and packet loss falls to "
            "{packet_loss_pct} within 15 minutes."
        ),
        watch=(Metric.ESNO_DB, Metric.PACKET_LOSS_PCT, Metric.ERRORS),
        tags=(Tag.HUB, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=10,
        direction=Direction.IB,
    ),
    Action(
        key="switch_hub_lna",
        title="Switch the receive chain of {hub} to its standby LNA",
        who="Hub engineer",
        steps=(
            "Note the noise floor on the L-band monitor port of {hub} before and after. Move the waveguide switch to "
            "the standby LNA; a good one brings the noise floor back to its commissioning value within 1 dB. Order a "
            "repair for the failed unit the same day, since there is no redundancy any longer."
        ),
        check=(
            "Level of {links} is back at {rx_level_dbm} and Es/N0 at {esno_db} within 10 minutes; if both stay low, "
            "look at the downconverter and the cable."
        ),
        watch=(Metric.RX_LEVEL_DBM, Metric.ESNO_DB),
        tags=(Tag.RF, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=15,
        direction=Direction.IB,
    ),
    Action(
        key="check_hub_lna_supply",
        title="Measure supply voltage and current of the LNA at {hub}",
        who="Hub engineer",
        steps=(
            "At the feed of {hub}, measure the DC supply of the LNA: within 5 % of its nameplate (commonly 15 or 24 "
            "V), and a current within 20 % of the commissioning sheet. Too little current means a dead stage, too "
            "much means water in the connector. Mute the HPA before anybody works at the feed, and use fall "
            "protection above 2 m."
        ),
        check="Level of {link} is back at {rx_level_dbm}, with the supply current steady for 30 minutes.",
        watch=(Metric.RX_LEVEL_DBM, Metric.ESNO_DB),
        tags=(Tag.RF, Tag.HUB, Tag.POWER, Tag.SAFETY),
        effort=Effort.HUB,
        minutes=45,
        direction=Direction.IB,
    ),
    Action(
        key="switch_hub_upconverter",
        title="Switch {network} to the standby upconverter at {hub}",
        who="Hub engineer",
        steps=(
            "Check the lock alarm, the output frequency (within 1 kHz of the plan) and the gain of the upconverter "
            "at {hub}. Mute the carrier, change to the standby unit with the same attenuation and unmute. Drifting "
            "phase noise, seen as a constellation that rotates, is cured by this as well."
        ),
        check="Es/N0 of {link} is back at {esno_db} and transmit power at {tx_power_dbm} within 10 minutes.",
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.RF, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=10,
        direction=Direction.OB,
    ),
    Action(
        key="switch_hub_downconverter",
        title="Switch {network} to the standby downconverter at {hub}",
        who="Hub engineer",
        steps=(
            "On the spectrum analyser at {hub}, compare the inbound carriers before and after the downconverter: "
            "frequency within 1 kHz of the plan, no spurious lines within 40 dB of the carrier. Change to the "
            "standby unit, with the attenuator at the same setting."
        ),
        check=(
            "Inbound Es/N0 of {links} is back at {esno_db} within 10 minutes; if the spectrum is bad before the "
            "downconverter too, the LNA is next."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.ERRORS),
        tags=(Tag.RF, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=10,
        direction=Direction.IB,
    ),
    Action(
        key="check_hub_reference",
        title="Check the 10 MHz reference and its distribution at {hub}",
        who="Hub engineer",
        steps=(
            "Look at the GPS receiver's lock and the holdover alarm, then measure the 10 MHz at the far end of the "
            "distribution amplifier of {hub}: 0 to +10 dBm and within 1 part in 10⁹. Move to the second reference "
            "when either is out. Carriers that drift together by the same number of kilohertz prove that it is the "
            "reference."
        ),
        check=(
            "Carriers of {network} sit within 1 kHz of the plan, and Es/N0 of {link} is back at {esno_db} within 15 "
            "minutes."
        ),
        watch=(Metric.ESNO_DB, Metric.ERRORS, Metric.UPTIME_PCT),
        tags=(Tag.RF, Tag.HUB),
        effort=Effort.HUB,
        minutes=40,
    ),
    Action(
        key="check_hub_waveguide",
        title="Check the dehydrator and the waveguide run of {hub} for water",
        who="Hub engineer",
        steps=(
            "Read the dehydrator of {hub}: 20 to 50 mbar and a duty cycle below 10 %; a pump that never stops means "
            "a leak. Look for a torn feed window and for moisture at the lowest flange. Mute the HPA and lock it out "
            "before a flange is opened."
        ),
        check=(
            "The line holds its pressure for an hour, and Es/N0 of {link} is back at {esno_db}; if it sinks again "
            "after the next rain, change the feed window."
        ),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.RF, Tag.HUB, Tag.SAFETY),
        effort=Effort.HUB,
        minutes=90,
    ),
    Action(
        key="check_hub_cables",
        title="Check the cables between antenna and rack at {hub}",
        who="Hub engineer",
        steps=(
            "Measure the level at both ends of the cable or fibre link of {hub}: more than 2 dB beyond the "
            "commissioning loss is a fault. Tighten N and F connectors to their torque, look for water and "
            "corrosion, and clean optical connectors. Swap to the spare fibre when a wiggle moves the level. Mute "
            "the HPA before anybody works at the antenna's end."
        ),
        check=(
            "Level of {links} is back at {rx_level_dbm} and does not move by more than 0.5 dB when the cable is "
            "touched."
        ),
        watch=(Metric.RX_LEVEL_DBM, Metric.ESNO_DB, Metric.ERRORS),
        tags=(Tag.RF, Tag.HUB, Tag.SAFETY),
        effort=Effort.HUB,
        minutes=60,
    ),
    Action(
        key="restart_hub_line_card",
        title="Restart the line card of {network} at {hub}",
        who="Hub engineer",
        steps=(
            "Save logs and a core dump of the line card at {hub} for its vendor first. Announce an interruption of 5 "
            "minutes to the customers of {network}, then restart the card, not the chassis. A second restart within "
            "a week is a reason to replace the card."
        ),
        check=(
            "All remotes of {network} log in again within 10 minutes, and packet loss of {links} is at "
            "{packet_loss_pct}."
        ),
        watch=(Metric.UPTIME_PCT, Metric.PACKET_LOSS_PCT, Metric.ERRORS),
        tags=(Tag.HUB, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="roll_back_hub_change",
        title="Roll back what was last changed in {network} before the onset",
        who="NOC",
        steps=(
            "Open the change log of {hub} for the 24 hours before the onset: frequency plans, MODCOD tables, gain "
            "settings, software. Restore the saved configuration of {network} from before the change, and keep the "
            "faulty one for comparison."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} and packet loss at {packet_loss_pct} within 15 minutes; if not, "
            "put the change back and go on."
        ),
        watch=(Metric.ESNO_DB, Metric.PACKET_LOSS_PCT, Metric.UPTIME_PCT),
        tags=(Tag.HUB, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="cool_hub_shelter",
        title="Check air conditioning and fans of the equipment shelter at {hub}",
        who="Hub engineer",
        steps=(
            "Read the shelter temperature and the baseplate temperature of the HPA at {hub}: above 35 °C and 70 °C "
            "most amplifiers fold back power or shut down. Start the second air conditioner, clean the filters, free "
            "the intake and replace stopped fans, each of them isolated and locked out first."
        ),
        check=("Shelter temperature is below 28 °C, and transmit power is back at {tx_power_dbm} without fold-back."),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB, Metric.UPTIME_PCT),
        tags=(Tag.HUB, Tag.POWER, Tag.SAFETY),
        effort=Effort.HUB,
        minutes=60,
    ),
    Action(
        key="send_hub_unit_for_repair",
        title="Have the vendor look into the failed unit of {network} at {hub} by remote access",
        who="Hub engineer",
        steps=(
            "Send the vendor the serial number, the log of the unit, its temperatures and a spectrum plot taken at "
            "{hub}. Ask for a remote session and, in parallel, an advance replacement under the service contract. "
            "Until it is there, list which carriers of {network} have no redundancy."
        ),
        check=(
            "The vendor names the failed part, and after the repair Es/N0 of {link} stays at {esno_db} for 24 hours."
        ),
        watch=(Metric.ESNO_DB, Metric.TX_POWER_DBM),
        tags=(Tag.HUB, Tag.VENDOR),
        effort=Effort.CALL,
        minutes=240,
    ),
    Action(
        key="power_hub_rack",
        title="Check UPS, transfer switch and rack breakers at {hub}",
        who="Hub engineer",
        steps=(
            "At {hub}, look at the UPS for bypass and battery alarms, at the transfer switch for the source in use, "
            "and at the breakers of the racks of {network}. Before a breaker is closed again, measure the load for a "
            "short; use lock-out and tag-out while anybody works in the cabinet. Start the generator by hand if the "
            "mains is gone."
        ),
        check="Uptime of {links} is back at {uptime_pct}, and the UPS runs on mains with its battery charging.",
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.HUB, Tag.POWER, Tag.SAFETY),
        effort=Effort.HUB,
        minutes=45,
    ),
)
