"""Electricity at a site, from the mains to the plug of the modem."""

from typing import Final

from ml.catalogue.metrics import Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

POWER: Final = (
    Action(
        key="call_about_mains",
        title="Call {site} and ask whether there is mains power",
        who="NOC",
        steps=(
            "Ask whoever answers at {site}, or the neighbouring shop or harbour office, whether lights are on, "
            "whether breakers have tripped and when power comes back. Many a silent site was only switched off by "
            "somebody. Write down the expected time, and hold the technician until then."
        ),
        check="Uptime of {site} is back at {uptime_pct} within 10 minutes of the promised time.",
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.CUSTOMER, Tag.POWER),
        effort=Effort.CALL,
        minutes=30,
    ),
    Action(
        key="look_up_outage_map",
        title="Look {site} up in the power utility's outage map and the planned works",
        who="NOC",
        steps=(
            "Compare the last sample of {site} with the utility's outage map, with neighbouring sites on the same "
            "grid and with planned works or lay-up of the vessel. Several silent sites in one district mean the "
            "grid: note the utility's forecast, and spend nobody's journey on it."
        ),
        check=(
            "When the utility reports supply, uptime of {site} is back at {uptime_pct} within 10 minutes; if not, it "
            "is the site's own installation."
        ),
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.POWER, Tag.MONITORING),
        effort=Effort.LOOK,
        minutes=10,
    ),
    Action(
        key="reset_breaker",
        title="Have breaker and surge arrester for the terminal at {site} checked",
        who="Customer on site",
        steps=(
            "Ask a qualified person at {site} to look at the breaker, the residual-current device and the arrester's "
            "window (red means spent). Reset once only: a second trip is a short, and the circuit stays locked out "
            "until an electrician has been there. During a thunderstorm nobody touches cables or mast."
        ),
        check="Uptime of {site} is back at {uptime_pct}, and the breaker holds for an hour.",
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.CUSTOMER, Tag.POWER, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=30,
    ),
    Action(
        key="power_cycle_remote",
        title="Cycle the power of the terminal at {site} by its switched socket",
        who="NOC",
        steps=(
            "Over the backup link or by text message, switch the managed socket of {site} off for 30 seconds and on "
            "again. Off means modem and BUC together, so that both boot with the 10 MHz reference. Do it twice at "
            "most."
        ),
        check=(
            "Uptime of {site} is back at {uptime_pct} within 8 minutes; a socket that does not answer either means "
            "that the site has no power."
        ),
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.POWER, Tag.REMOTE),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="check_remote_ups",
        title="Test the UPS at {site} and change its batteries",
        who="Field technician",
        steps=(
            "Switch the UPS off, isolate and lock out the mains feed, then measure each 12 V block at {site} under "
            "load: under 10.5 V after 10 minutes it is dead, and after 4 years all are changed together. "
            "Short-circuit current burns: insulated tools, no rings. Check the bypass, and calculate 30 % of reserve "
            "over the load."
        ),
        check=(
            "With the mains off, {site} runs for the designed time, and its uptime stays at {uptime_pct} for a week."
        ),
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.POWER, Tag.FIELD, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=480,
    ),
    Action(
        key="start_remote_generator",
        title="Have the generator at {site} started",
        who="Customer on site",
        steps=(
            "Ask {site} for fuel level, starter battery (above 12.4 V) and the position of the transfer switch. "
            "Start by hand in the open air, let it warm up for 2 minutes, then transfer the load; never feed in "
            "behind a closed mains switch. Arrange fuel for 48 hours."
        ),
        check="Uptime of {site} is back at {uptime_pct}; the terminal draws its usual current.",
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.POWER, Tag.CUSTOMER, Tag.SAFETY),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="replace_power_supply",
        title="Replace the power supply of the terminal at {site}",
        who="Field technician",
        steps=(
            "With mains at the socket and a dark modem, the supply is dead. Isolate and lock out the circuit at "
            "{site}, then change the supply for one of the same voltage and at least the same current, and measure "
            "ripple (below 100 mV) under transmit load. Fit a surge arrester where lightning was the reason."
        ),
        check="Uptime of {site} is back at {uptime_pct} and stays so for 24 hours with the BUC transmitting.",
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.POWER, Tag.FIELD, Tag.REMOTE, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=960,
    ),
    Action(
        key="adjust_solar_load",
        title="Clean the solar panels of {site} and cut its load at night",
        who="Field technician",
        steps=(
            "Outages of {site} before sunrise mean an empty battery. Clean the panels from the ground or with fall "
            "protection, isolate the battery before its terminals are touched, read the charge controller's history "
            "(float should be reached on 4 of 5 days), and set the modem to low-power mode from 23 to 5 o'clock. Add "
            "a battery where three grey days are common."
        ),
        check=("Battery voltage before sunrise is above 12.2 V, and uptime of {site} is at {uptime_pct} for a week."),
        watch=(Metric.UPTIME_PCT,),
        tags=(Tag.POWER, Tag.FIELD, Tag.WEATHER, Tag.SAFETY),
        effort=Effort.VISIT,
        minutes=600,
    ),
)
