"""Packets on their way: queues, routes, ports and timing."""

from typing import Final

from ml.catalogue.metrics import Direction, Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

PACKETS: Final = (
    Action(
        key="stop_flood",
        title="Block the flood that fills {target}",
        who="Network engineer",
        steps=(
            "A jump within a minute, small packets and many destinations are a scan, a denial-of-service attack or "
            "an infected host. At the edge of {hub}, drop it by source or port, ask the upstream carrier for a "
            "blackhole route, and isolate the infected remote's VLAN. Tell its owner."
        ),
        check=(
            "Packets per second on {target} are back to normal, and packet loss is at {packet_loss_pct} within 10 "
            "minutes."
        ),
        watch=(Metric.THROUGHPUT_MBPS, Metric.PACKET_LOSS_PCT, Metric.DISCARDS),
        tags=(Tag.CAPACITY, Tag.CONFIGURATION, Tag.CUSTOMER),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="set_queue_limits",
        title="Shorten the queues towards {links} to 200 ms",
        who="Network engineer",
        steps=(
            "Queues that hold seconds turn a full carrier into a latency of seconds. At {hub} and in the modems, "
            "limit best effort to 200 ms at the present rate with active queue management (CoDel or RED), voice to "
            "30 ms. Longer queues help only against discards of short bursts."
        ),
        check=(
            "Latency of {link} is at {latency_ms} and jitter at {jitter_ms} under load; discards may rise a little."
        ),
        watch=(Metric.JITTER_MS, Metric.LATENCY_MS, Metric.DISCARDS),
        tags=(Tag.CONFIGURATION, Tag.CAPACITY),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="check_acceleration",
        title="Check the TCP acceleration of {links} and restart it where it fails",
        who="Network engineer",
        steps=(
            "Open the accelerator's (PEP) session table at {hub}: sessions at its limit, a licence expired, or "
            "bypass on. Without it, one TCP session with a 64 kB window gets no more than about 0.9 Mbit/s over 600 "
            "ms. Restart the instance of {network} only, since all its sessions break."
        ),
        check=(
            "A single download on {link} fills its rate within 5 seconds, and throughput is back at {throughput_mbps}."
        ),
        watch=(Metric.THROUGHPUT_MBPS, Metric.ERRORS, Metric.LATENCY_MS),
        tags=(Tag.SOFTWARE, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="clamp_mss",
        title="Clamp the TCP segment size towards {links} to 1,360 bytes",
        who="Network engineer",
        steps=(
            "Send pings of 1,472 bytes with don't-fragment over {links}: when they are lost while 1,400 bytes pass, "
            "a tunnel (GRE, IPsec) ate the headroom. Clamp the MSS to 1,360 on the tunnel's interface, and let ICMP "
            "type 3 code 4 through the firewalls."
        ),
        check="Large pages load, and the error count of {link} is back at {errors} within 15 minutes.",
        watch=(Metric.ERRORS, Metric.PACKET_LOSS_PCT, Metric.THROUGHPUT_MBPS),
        tags=(Tag.CONFIGURATION,),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="fix_duplex",
        title="Set speed and duplex of the Ethernet ports on both ends at {site}",
        who="Network engineer",
        steps=(
            "Read the port counters at {site}: late collisions on one side and CRC errors on the other are a duplex "
            "mismatch, often after a swapped switch. Set both ends to auto-negotiation, or both to the same fixed "
            "value. CRC errors that remain are the patch cable."
        ),
        check=(
            "Over the next hour of load, the error count of {link} is at {errors} and that of discards at {discards}."
        ),
        watch=(Metric.ERRORS, Metric.DISCARDS, Metric.PACKET_LOSS_PCT),
        tags=(Tag.CONFIGURATION, Tag.REMOTE),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="stop_lan_storm",
        title="Look for a broadcast storm or routing loop at {site}",
        who="Network engineer",
        steps=(
            "Count broadcasts on the LAN port of {site}: more than 500 packets per second, or time-to-live exceeded "
            "in masses, is a loop. Switch on storm control (1 %) and spanning tree; have the last patched cable "
            "pulled out. A default route that points back over the satellite is taken out at {hub}."
        ),
        check=(
            "The count of discards of {link} is at {discards}, and throughput is back at {throughput_mbps} within 5 "
            "minutes."
        ),
        watch=(Metric.DISCARDS, Metric.THROUGHPUT_MBPS, Metric.ERRORS),
        tags=(Tag.CONFIGURATION, Tag.CUSTOMER, Tag.REMOTE),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="check_routes",
        title="Compare the routes towards {links} with yesterday's table",
        who="Network engineer",
        steps=(
            "With RF healthy and no traffic, the packets go elsewhere. Look at {hub} for withdrawn BGP or OSPF "
            "prefixes, a longer match that leads into a firewall, and a changed policy. A trace that shows 1,100 ms "
            "and more goes over the satellite twice. Restore the missing route."
        ),
        check="Throughput of {link} is back at {throughput_mbps} and the round trip at {latency_ms}.",
        watch=(Metric.THROUGHPUT_MBPS, Metric.PACKET_LOSS_PCT, Metric.LATENCY_MS),
        tags=(Tag.CONFIGURATION, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=25,
    ),
    Action(
        key="check_hub_backhaul",
        title="Test the terrestrial backhaul of {hub} and move to its second carrier",
        who="Network engineer",
        steps=(
            "Run a 10 minute loss and delay test from {hub} to the point of presence, apart from the satellite: loss "
            "above 0.1 % or 20 ms more than usual is the backhaul. Move BGP to the second carrier by local "
            "preference, then open a ticket with the first one and attach the test."
        ),
        check=(
            "Over the second carrier, latency on {target} is back at {latency_ms} and packet loss at {packet_loss_pct}."
        ),
        watch=(Metric.LATENCY_MS, Metric.PACKET_LOSS_PCT, Metric.THROUGHPUT_MBPS),
        tags=(Tag.HUB, Tag.VENDOR),
        effort=Effort.CALL,
        minutes=60,
    ),
    Action(
        key="tune_burst_timing",
        title="Check burst plan, guard times and timing of {network}",
        who="Hub engineer",
        steps=(
            "Read the timing offsets at the demodulator of {hub}: bursts more than 5 µs from their slot collide with "
            "the neighbours. Refresh the satellite's position in the timing reference, correct the coordinates of "
            "remotes that moved, and lengthen the guard time by one step for ships."
        ),
        check="Missed bursts are below 0.1 %, and jitter of {link} is back at {jitter_ms}.",
        watch=(Metric.JITTER_MS, Metric.ERRORS, Metric.PACKET_LOSS_PCT),
        tags=(Tag.CONFIGURATION, Tag.HUB, Tag.RF),
        effort=Effort.REMOTE,
        minutes=45,
        direction=Direction.IB,
    ),
)
