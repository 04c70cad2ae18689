"""The electronics of a remote: BUC, LNB, modem and the cables between them."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

REMOTE: Final = (
    Action(
        key="check_buc_supply",
        title="Measure the supply of the BUC at {site} under load",
        who="Customer on site",
        steps=(
            "Have the supply of the BUC at {site} measured at its output while it transmits: 24 V units want 22 to "
            "28 V, 48 V units 44 to 56 V. A drop of more than 2 V under load is the supply or a corroded pair. Read "
            "fault LED and output at the supply indoors only; anything at the feed waits for a muted transmitter."
        ),
        check=(
            "Voltage holds, and Es/N0 of {link} at {hub} is back at {esno_db} with transmit power at {tx_power_dbm}."
        ),
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.POWER, Tag.REMOTE, Tag.RF, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=45,
        direction=Direction.IB,
    ),
    Action(
        key="read_buc_status",
        title="Read mute state, temperature and lock of the BUC at {site}",
        who="NOC",
        steps=(
            "Over the modem's management channel (FSK) or the web page of {site}, read mute, temperature, 10 MHz "
            "lock and forward power. Unmute a transmitter that was left muted after a visit, once the site confirms "
            "that nobody is at the antenna. Above 75 °C it folds back: ask for shade and free cooling fins."
        ),
        check="Transmit power of {site} is back at {tx_power_dbm}, and Es/N0 of {link} at {esno_db}.",
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.REMOTE, Tag.RF, Tag.MONITORING, Tag.SAFETY),
        effort=Effort.REMOTE,
        minutes=15,
        direction=Direction.IB,
    ),
    Action(
        key="relevel_remote_uplink",
        title="Line the uplink power of {site} up again",
        who="NOC",
        steps=(
            "In clear sky, step the transmitter of {site} up by 0.5 dB at a time while Es/N0 at {hub} follows one "
            "for one. Where it no longer does, compression begins: go back by 2 dB and store that as the ceiling. A "
            "ceiling more than 3 dB lower than at commissioning means a dying BUC or a wet cable."
        ),
        check="Es/N0 of {link} is at {esno_db} with at least 1 dB to the ceiling.",
        watch=(Metric.TX_POWER_DBM, Metric.ESNO_DB),
        tags=(Tag.REMOTE, Tag.RF, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=30,
        direction=Direction.IB,
    ),
    Action(
        key="replace_remote_buc",
        title="Replace the BUC at {site}",
        who="Field technician",
        steps=(
            "Take a BUC of the same band, power and local oscillator to {site}. Switch the supply off and lock it "
            "out, check the waveguide gasket, seal the connectors with self-amalgamating tape. Set the power anew "
            "with the hub: the gain of another unit differs by up to 5 dB."
        ),
        check=(
            "Es/N0 of {link} at {hub} is at {esno_db} with usual power, and the operator of {satellite} confirms the "
            "line-up."
        ),
        watch=(Metric.ESNO_DB, Metric.TX_POWER_DBM),
        tags=(Tag.FIELD, Tag.RF, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=1_440,
        direction=Direction.IB,
    ),
    Action(
        key="replace_remote_lnb",
        title="Replace the LNB at {site}",
        who="Field technician",
        steps=(
            "Take an LNB of the same band and local oscillator, PLL type for carriers under 2 Msymbol/s, to {site}. "
            "Mute the transmitter before reaching to the feed, switch the LNB supply off, and put a new O-ring "
            "between filter and LNB. Keep the transmit-reject filter in place."
        ),
        check="Level of {link} is back at {rx_level_dbm}, and Es/N0 at {esno_db} within 10 minutes.",
        watch=(Metric.RX_LEVEL_DBM, Metric.ESNO_DB),
        tags=(Tag.FIELD, Tag.RF, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=1_440,
        direction=Direction.OB,
    ),
    Action(
        key="check_lnb_supply",
        title="Measure the LNB supply on the receive cable of {site}",
        who="Customer on site",
        steps=(
            "Have the voltage on the receive connector of the modem at {site} measured: 13 or 18 V (19.5 V with a "
            "long cable), with the 10 MHz or 22 kHz tone that the LNB wants set in the modem. A current of 0 mA "
            "means an open cable, more than 500 mA a short by water. Leave the transmit connector alone, which may "
            "carry 48 V. Try the spare receive cable."
        ),
        check=(
            "Level of {link} is back at {rx_level_dbm}; with voltage and cable in order and the level still low, the "
            "LNB is dead."
        ),
        watch=(Metric.RX_LEVEL_DBM, Metric.ESNO_DB),
        tags=(Tag.POWER, Tag.REMOTE, Tag.RF, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=40,
        direction=Direction.OB,
    ),
    Action(
        key="renew_remote_connectors",
        title="Renew the F connectors and the wet cable at {site}",
        who="Field technician",
        steps=(
            "Open the outdoor connectors at {site} with the transmitter muted: green copper, a white braid or a drop "
            "of water condemns plug and the first 30 cm of cable. Make new compression plugs, a drip loop and tape; "
            "replace the run when its loss is more than 3 dB over the tables."
        ),
        check=(
            "Level of {link} is back at {rx_level_dbm}, and the error count stays at {errors} through the next rain."
        ),
        watch=(Metric.RX_LEVEL_DBM, Metric.ESNO_DB, Metric.ERRORS),
        tags=(Tag.FIELD, Tag.RF, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=600,
    ),
    Action(
        key="restart_remote_modem",
        title="Restart the modem of {site} from {hub}",
        who="NOC",
        steps=(
            "Save the modem's log and uptime of {site} first. Send the restart over the management channel; where it "
            "does not answer, have the socket switched off for 30 seconds. It acquires within 3 to 5 minutes."
        ),
        check=(
            "Uptime of {link} is back at {uptime_pct} and packet loss at {packet_loss_pct} within 10 minutes; a "
            "second restart in a day calls for a swap."
        ),
        watch=(Metric.UPTIME_PCT, Metric.PACKET_LOSS_PCT, Metric.ESNO_DB),
        tags=(Tag.REMOTE, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=10,
    ),
    Action(
        key="swap_remote_modem",
        title="Swap the modem at {site} for a preconfigured spare",
        who="Field technician",
        steps=(
            "Load options file, keys and certificate of {site} onto the spare at the depot, and authorise its serial "
            "number at {hub}. On site, switch off before the transmit cable is unscrewed, which may carry 48 V, "
            "label the cables and check the earthing. Send the old one in with its log."
        ),
        check="Uptime of {link} is at {uptime_pct} and its error count stays at {errors} for 24 hours.",
        watch=(Metric.UPTIME_PCT, Metric.ERRORS, Metric.PACKET_LOSS_PCT),
        tags=(Tag.FIELD, Tag.REMOTE, Tag.VENDOR, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=1_440,
    ),
    Action(
        key="roll_back_modem_firmware",
        title="Roll the modem of {site} back to its previous firmware",
        who="NOC",
        steps=(
            "Check whether {site} took new firmware in the 48 hours before the onset, and whether others with that "
            "version suffer. Boot the second image, one remote first, then the rest in groups of 10. Send the vendor "
            "log and version; block the version on the update server."
        ),
        check="Packet loss of {link} is at {packet_loss_pct} and its uptime at {uptime_pct} for 2 hours.",
        watch=(Metric.UPTIME_PCT, Metric.PACKET_LOSS_PCT, Metric.ERRORS),
        tags=(Tag.REMOTE, Tag.SOFTWARE, Tag.VENDOR),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="read_modem_lamps",
        title="Have the lamps of the modem at {site} read out by phone",
        who="Customer on site",
        steps=(
            "Ask {site} for the lamps in order: power, receive, transmit, network, LAN. Receive off points at LNB, "
            "cable or pointing; receive on with transmit off at BUC, licence or mute; all off at power. Have the two "
            "cables at the modem tightened by hand, and the supply's plug pushed in."
        ),
        check=("Network lamp on, and Es/N0 of {link} at {esno_db}; otherwise the first dark lamp names the next step."),
        watch=(Metric.UPTIME_PCT, Metric.ESNO_DB),
        tags=(Tag.CUSTOMER, Tag.REMOTE, Tag.MONITORING),
        effort=Effort.CALL,
        minutes=20,
    ),
    Action(
        key="check_remote_reference",
        title="Check frequency offset and 10 MHz of the transmitter at {site}",
        who="NOC",
        steps=(
            "Read the frequency offset that {hub} measures for {site}: beyond 5 kHz, or drifting by 1 kHz per hour, "
            "the 10 MHz from modem to BUC is weak or the oscillator old. Set the modem's 10 MHz on, widen the "
            "acquisition window for the time being, and order the part."
        ),
        check="The offset stays within 1 kHz, and Es/N0 of {link} is back at {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.ERRORS),
        tags=(Tag.REMOTE, Tag.RF, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=25,
        direction=Direction.IB,
    ),
)
