"""Antennas that point beside the satellite: the hub's, and those of the remotes."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

POINTING: Final = (
    Action(
        key="read_tracking_log",
        title="Compare beacon level and pointing angles of {hub} with last week's",
        who="NOC",
        steps=(
            "In the antenna control unit of {hub}, plot azimuth, elevation and beacon level over the last 48 hours "
            "beside the same hours of last week. A beacon that sank with the traffic proves pointing; a 12 or 24 "
            "hour wave proves that tracking stopped. Put tracking back to automatic where somebody left it in "
            "standby."
        ),
        check=(
            "The beacon of {satellite} is within 0.5 dB of its clear-sky level, and Es/N0 of {link} is back at "
            "{esno_db}."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.RF, Tag.MONITORING),
        effort=Effort.LOOK,
        minutes=10,
    ),
    Action(
        key="peak_hub_antenna",
        title="Peak the antenna of {hub} on the beacon of {satellite}",
        who="Hub engineer",
        steps=(
            "Note the present angles. Step the antenna of {hub} in azimuth, then elevation, by a tenth of its "
            "beamwidth, and stop where the beacon of {satellite} falls equally on both sides. Go back to the noted "
            "angles if the beacon is lost for more than a minute. Hold uplink power as it is while peaking."
        ),
        check=(
            "Es/N0 of {links} is back at {esno_db}; a beacon more than 1 dB under its clear-sky level then means "
            "feed, subreflector or rain."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.RF),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="calibrate_step_track",
        title="Recalibrate beacon receiver and step track of {hub}",
        who="Hub engineer",
        steps=(
            "Retune the beacon receiver of {hub} to the beacon of {satellite} (drift above 5 kHz loses lock) and set "
            "its slope to 0.5 V per dB again. Set the step to a tenth of the beamwidth and the cycle to 10 to 20 "
            "minutes. Confirm that step track stops when the beacon fades by more than 3 dB, since it must not chase "
            "rain."
        ),
        check="Over three tracking cycles, Es/N0 of {link} stays within 0.3 dB of {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.RF),
        effort=Effort.REMOTE,
        minutes=60,
    ),
    Action(
        key="load_ephemeris",
        title="Load fresh ephemeris of {satellite} into the antenna control unit of {hub}",
        who="Hub engineer",
        steps=(
            "Get the current eleven orbit parameters (IESS-412) of {satellite} from its operator and load them at "
            "{hub}. Check date, UTC offset and station coordinates, the usual reasons for a constant error. Run "
            "program track until step track is trusted again."
        ),
        check="Over the next 12 hours, Es/N0 of {link} stays at {esno_db} without a daily wave.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.SATELLITE, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="hold_hub_pointing",
        title="Take the antenna of {hub} out of step track and into memory track",
        who="Hub engineer",
        steps=(
            "Where step track walks away from {satellite}, switch the antenna of {hub} to memory or program track "
            "with yesterday's path, or drive it to the last good angles and hold it there. This buys the hours in "
            "which the receiver or the drive is repaired; an inclined orbit needs new angles every 15 minutes."
        ),
        check="Es/N0 of {links} is back at {esno_db} and loses no more than 0.5 dB per hour.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.RF),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="inspect_hub_drives",
        title="Inspect motors, jackscrews and limit switches of the antenna of {hub}",
        who="Hub engineer",
        steps=(
            "Lock out the drive cabinet and mute the HPA before anybody steps on the pedestal of {hub}; use fall "
            "protection. Look for a tripped motor breaker, a jackscrew without grease, a bent limit switch and "
            "backlash above 0.02°. Then drive each axis by hand control through 1° and compare encoder and "
            "inclinometer."
        ),
        check=("Each axis returns to the same beacon level within 0.2 dB, and Es/N0 of {link} is back at {esno_db}."),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.SAFETY, Tag.FIELD),
        effort=Effort.HUB,
        minutes=150,
    ),
    Action(
        key="check_hub_polarisation",
        title="Align the polarisation of {hub} with the carrier monitoring of {satellite}",
        who="Hub engineer",
        steps=(
            "Call the operator of {satellite} and put up a clean carrier from {hub} at the level that they name. "
            "Turn the feed by its drive, with nobody at the antenna, by 0.5° at a time until cross-polar isolation "
            "is at least 30 dB, or the figure in the licence. Lock the feed and note the angle."
        ),
        check="The operator confirms the isolation, and Es/N0 of {link} is back at {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.ERRORS),
        tags=(Tag.HUB, Tag.RF, Tag.SATELLITE),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="check_hub_wind",
        title="Compare the wind at {hub} with the swing of the beacon",
        who="Hub engineer",
        steps=(
            "Read the anemometer of {hub}: a large antenna moves visibly above 70 km/h and must be stowed at the "
            "figure of its manual, commonly 100 to 120 km/h. Below that, lengthen the step-track cycle so that it "
            "does not hunt. Nobody goes onto the reflector while it blows above 50 km/h."
        ),
        check=(
            "With the wind down, Es/N0 of {link} is back at {esno_db} by itself; if it stays low, the wind has moved "
            "the mount and the antenna needs peaking."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.HUB, Tag.WEATHER, Tag.SAFETY),
        effort=Effort.LOOK,
        minutes=30,
    ),
    Action(
        key="repeak_remote_antenna",
        title="Repeak the antenna at {site} on {satellite}",
        who="Field technician",
        steps=(
            "Mute the transmitter from the hub and have that confirmed before anybody stands in front of the "
            "reflector. Loosen azimuth, then elevation by one bolt turn, sweep through the peak by the modem's Es/N0 "
            "and stop midway between the two points that are 1 dB down. Tighten crosswise to torque while watching "
            "the reading."
        ),
        check=(
            "Es/N0 of {link} is back at {esno_db} and stays there when the reflector is pushed by hand from behind."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.FIELD, Tag.RF, Tag.SAFETY, Tag.REMOTE),
        effort=Effort.VISIT,
        minutes=480,
    ),
    Action(
        key="align_remote_polarisation",
        title="Do the cross-pol and peak test of {site} with the operator of {satellite}",
        who="Field technician",
        steps=(
            "Book a slot with the carrier monitoring of {satellite}. With a clean carrier at the level that they "
            "name, turn the feed of {site} in 1° steps to at least 30 dB of isolation: muted while hands are on the "
            "feed, unmuted only to measure. Determine the 1 dB compression point in the same slot."
        ),
        check="The operator confirms peak and isolation, and Es/N0 of {link} at {hub} is back at {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.ERRORS),
        tags=(Tag.FIELD, Tag.RF, Tag.SATELLITE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=300,
        direction=Direction.IB,
    ),
    Action(
        key="secure_remote_mount",
        title="Check mast, ballast and bolts of the mount at {site}",
        who="Field technician",
        steps=(
            "A reading that moves with the wind or sank after a storm means a mount that moves. At {site}, check "
            "that the mast is plumb within 0.5°, bolts have their torque, ballast lies complete and guy wires are "
            "tight. Mute the transmitter first and use fall protection on the roof. Mark the final position with "
            "paint."
        ),
        check="Es/N0 of {link} is at {esno_db} and moves by less than 0.3 dB at the next wind above 40 km/h.",
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.FIELD, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=420,
    ),
    Action(
        key="phone_guided_peaking",
        title="Guide somebody at {site} through a fine peaking by phone",
        who="Customer on site",
        steps=(
            "Only where the antenna of {site} can be reached from the ground. Mute the transmitter and say so; have "
            "the three bolts marked with a pen before any is loosened. Turn by 2 mm on the circumference, wait 10 "
            "seconds, read Es/N0 aloud; stop at the best reading and tighten."
        ),
        check=(
            "Es/N0 of {link} has gained at least 1 dB towards {esno_db}; if it got worse, back to the pen marks, and "
            "send a technician."
        ),
        watch=(Metric.ESNO_DB, Metric.RX_LEVEL_DBM),
        tags=(Tag.CUSTOMER, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=90,
    ),
    Action(
        key="restart_antenna_controller",
        title="Restart the antenna controller of {site} and let it search anew",
        who="NOC",
        steps=(
            "Log in to the antenna controller of {site} over the backup link or with a crew member, and read faults "
            "(gyro, encoder, unwind, motor over-current) before they are lost. Restart it; initialisation and search "
            "take 5 to 8 minutes. A fault that returns names the part to be sent."
        ),
        check=("Es/N0 of {link} is back at {esno_db} within 10 minutes, and the fault list stays empty for an hour."),
        watch=(Metric.ESNO_DB, Metric.UPTIME_PCT),
        tags=(Tag.REMOTE, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=20,
        mobile=True,
    ),
    Action(
        key="correct_heading_input",
        title="Check the gyrocompass input of the antenna at {site}",
        who="Ship's officer",
        steps=(
            "Compare the heading that the antenna controller of {site} shows with the bridge's: a difference above "
            "2° makes it search in the wrong place. Check the NMEA or synchro cable, baud rate (4,800 or 38,400) and "
            "the home-flag offset, and enter the true heading by hand if the gyrocompass is off."
        ),
        check="Both headings agree within 1°, and Es/N0 of {link} is back at {esno_db} after the next search.",
        watch=(Metric.ESNO_DB, Metric.UPTIME_PCT),
        tags=(Tag.REMOTE, Tag.CUSTOMER, Tag.CONFIGURATION),
        effort=Effort.CALL,
        minutes=40,
        mobile=True,
    ),
    Action(
        key="load_satellite_settings",
        title="Send {site} the right satellite settings again",
        who="NOC",
        steps=(
            "Compare longitude, tracking frequency, polarisation, skew and LNB local oscillator in the settings of "
            "{site} with the plan of {satellite}. A tracking carrier that moved lets the antenna peak on a neighbour "
            "2 to 3° off. Push the corrected options file, over the backup link where needed."
        ),
        check=(
            "The controller of {site} tracks with the network's own carrier ID, and Es/N0 of {link} is back at "
            "{esno_db}."
        ),
        watch=(Metric.ESNO_DB, Metric.UPTIME_PCT),
        tags=(Tag.REMOTE, Tag.CONFIGURATION, Tag.SATELLITE),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="repair_stabilisation",
        title="Replace rate sensor, belt or motor of the stabilised antenna at {site}",
        who="Field technician",
        steps=(
            "Take the part that the fault log of {site} names, with belts and a rate-sensor set as a matter of "
            "course, to the next port. Switch off and lock out drive and BUC before opening the radome: the pedestal "
            "moves without warning. Balance all axes after the change."
        ),
        check="In a sea state of 4, Es/N0 of {link} stays within 0.5 dB of {esno_db}.",
        watch=(Metric.ESNO_DB, Metric.UPTIME_PCT),
        tags=(Tag.FIELD, Tag.REMOTE, Tag.SAFETY, Tag.VENDOR),
        effort=Effort.VISIT,
        minutes=2_880,
        mobile=True,
    ),
)
