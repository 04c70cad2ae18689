"""Servers and services: portal, database, name and log-in servers, and the monitoring itself."""

from typing import Final

from ml.catalogue.metrics import Metric
from ml.recommendation.playbook.actions import Action, Effort, Tag

SERVERS: Final = (
    Action(
        key="stop_runaway_process",
        title="Find the process that takes the processor at {target} and restart it",
        who="System administrator",
        steps=(
            "List the processes of the servers at {target} by CPU over 5 minutes. Take a stack trace of the one "
            "above 80 % of a core before it is restarted through its service manager, with a limit of cores from now "
            "on. A kernel thread at the top means interrupts: look at the network card instead."
        ),
        check=("Processor load of {target} is at {cpu_pct} within 5 minutes, and response time at {response_time_ms}."),
        watch=(Metric.CPU_PCT, Metric.RESPONSE_TIME_MS),
        tags=(Tag.SOFTWARE, Tag.MONITORING),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="restart_leaking_process",
        title="Restart the process at {target} whose memory grows",
        who="System administrator",
        steps=(
            "Plot the resident memory of each process at {target} over 7 days: a line that only climbs is a leak. "
            "Take a heap dump, restart that service in the quiet hour, and set a ceiling with automatic restart at "
            "80 % of the memory. Send dump and version to the vendor."
        ),
        check="Memory of {target} is back at {memory_pct}, and grows by less than 1 % per day.",
        watch=(Metric.MEMORY_PCT, Metric.RESPONSE_TIME_MS),
        tags=(Tag.SOFTWARE, Tag.VENDOR),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="move_scheduled_jobs",
        title="Move backups and reports at {target} out of the busy hours",
        who="System administrator",
        steps=(
            "Compare the onset with the timers of the servers at {target}: backups, log rotation, virus scans, "
            "reports at the full hour. Move them to 2 to 4 o'clock local time with a random delay of 15 minutes, at "
            "low CPU and disk priority. Two copies of one job at once mean a missing lock."
        ),
        check="At the next full hour, processor load is at {cpu_pct} and response time at {response_time_ms}.",
        watch=(Metric.CPU_PCT, Metric.RESPONSE_TIME_MS, Metric.MEMORY_PCT),
        tags=(Tag.CONFIGURATION, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="roll_back_release",
        title="Roll the servers at {target} back to the release before the onset",
        who="System administrator",
        steps=(
            "Compare the onset with the last installation at {target}. Switch to the previous release, database "
            "migrations included only if they can be undone, and drain connections first. Keep the log of the first "
            "100 failures for the developers."
        ),
        check=(
            "The error rate of {target} is back at {error_rate} within 10 minutes; if not, the release was innocent "
            "and goes back on."
        ),
        watch=(Metric.ERROR_RATE, Metric.ERROR_COUNT, Metric.RESPONSE_TIME_MS),
        tags=(Tag.SOFTWARE, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="restart_portal",
        title="Restart the web servers of the portal at {target}, one after the other",
        who="System administrator",
        steps=(
            "Check that a second web server at {target} answers, take the first one out of the balancer, save its "
            "thread dump and restart it; then the other one. Threads waiting for the database or DNS will hang "
            "again, so read the dump before calling it solved."
        ),
        check=(
            "Response time is at {response_time_ms}, and the count of failed requests at {error_count} in the next "
            "interval."
        ),
        watch=(Metric.RESPONSE_TIME_MS, Metric.ERROR_COUNT, Metric.UPTIME_PCT),
        tags=(Tag.SOFTWARE,),
        effort=Effort.REMOTE,
        minutes=10,
    ),
    Action(
        key="check_dns",
        title="Time the DNS look-ups at {target}",
        who="System administrator",
        steps=(
            "From {target}, look up five names with each of its resolvers: beyond 50 ms locally, or one resolver in "
            "two silent, every request waits 5 seconds now and then. Drop the dead resolver, and run a cache at the "
            "remote side so that look-ups do not cross the satellite."
        ),
        check="Look-ups take less than 20 ms from the cache, and response time is at {response_time_ms}.",
        watch=(Metric.RESPONSE_TIME_MS, Metric.ERROR_RATE),
        tags=(Tag.SOFTWARE, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="tune_slow_queries",
        title="Find the slow query or lock in the database at {target}",
        who="System administrator",
        steps=(
            "List what runs longer than 1 second at {target} and what waits for locks. End the blocker if it is an "
            "idle transaction; refresh statistics, and add the index that the plan misses. Disk waits above 20 ms "
            "point at storage instead."
        ),
        check="No query runs beyond a second, and response time of {target} is at {response_time_ms}.",
        watch=(Metric.RESPONSE_TIME_MS, Metric.CPU_PCT),
        tags=(Tag.SOFTWARE,),
        effort=Effort.REMOTE,
        minutes=60,
    ),
    Action(
        key="free_disk_space",
        title="Free disk space at {target}",
        who="System administrator",
        steps=(
            "A full volume at {target} fails every write: look at free space and inodes, at logs, core dumps and old "
            "captures. Compress and move, rather than delete, what is younger than 90 days; set rotation at 7 days "
            "or 1 GB. Restart services that stopped on the full disk."
        ),
        check="More than 20 % is free, and the count of failed requests is back at {error_count}.",
        watch=(Metric.ERROR_RATE, Metric.ERROR_COUNT, Metric.UPTIME_PCT),
        tags=(Tag.SOFTWARE,),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="renew_certificate",
        title="Renew the certificate and set the clock of the servers at {target}",
        who="System administrator",
        steps=(
            "Read the expiry date of the certificates that the servers at {target} show and trust, and compare their "
            "clocks with two NTP servers: 5 minutes off breaks logins, a day off breaks TLS. Renew, install the "
            "whole chain and reload, with an alert 30 days before the next expiry."
        ),
        check=(
            "A client from outside connects without a warning, and the error rate of {target} is back at {error_rate}."
        ),
        watch=(Metric.ERROR_RATE, Metric.ERROR_COUNT),
        tags=(Tag.SOFTWARE, Tag.CONFIGURATION),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="check_radius",
        title="Check the RADIUS servers that admit the remotes of {target}",
        who="System administrator",
        steps=(
            "Count rejects and timeouts at the RADIUS servers for {target} over the last hour. Time-outs want the "
            "second server first in the list, rejects mean changed secrets or an expired account batch. Log in with "
            "a test account from {hub} before and after."
        ),
        check=("Test logins take less than 1 second, and the number of remotes in service is back at {connections}."),
        watch=(Metric.CONNECTIONS, Metric.ERROR_RATE, Metric.UPTIME_PCT),
        tags=(Tag.SOFTWARE, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="poll_missing_remotes",
        title="List the remotes that {target} lost, and poll each by hand",
        who="NOC",
        steps=(
            "Take the remotes that left {target} since the onset and sort them by inroute group, beam, software "
            "version and region: what they share is the fault. Poll three of them directly, since a poller that "
            "hangs reports losses that nobody feels."
        ),
        check=("The number in service is back at {connections} within 30 minutes, or the group to work on is named."),
        watch=(Metric.CONNECTIONS,),
        tags=(Tag.MONITORING, Tag.HUB, Tag.REMOTE),
        effort=Effort.LOOK,
        minutes=20,
    ),
    Action(
        key="raise_licence_limit",
        title="Check licences and session limits of {target}",
        who="NOC",
        steps=(
            "Compare the sessions of {target} with the limits: remotes per network licence, address pool (90 % full "
            "is full), file handles, NAT table. Release stale entries, enlarge the pool, and have the vendor send a "
            "temporary licence key, which takes about an hour."
        ),
        check="New remotes are admitted, and the number of remotes in service is back at {connections}.",
        watch=(Metric.CONNECTIONS, Metric.ERROR_RATE),
        tags=(Tag.VENDOR, Tag.CONFIGURATION, Tag.HUB),
        effort=Effort.CALL,
        minutes=120,
    ),
    Action(
        key="restart_hub_sessions",
        title="Let the remotes of {network} log in again in groups of 20",
        who="NOC",
        steps=(
            "After an outage at {hub}, hundreds of remotes that acquire at once collide on the contention slots. "
            "Disable acquisition, then enable 20 remotes every 2 minutes, vital ones first, and double the "
            "contention slots for the hour."
        ),
        check=(
            "The number of remotes in service is back at {connections} within the hour, with packet loss at "
            "{packet_loss_pct}."
        ),
        watch=(Metric.CONNECTIONS, Metric.PACKET_LOSS_PCT),
        tags=(Tag.HUB, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=30,
    ),
    Action(
        key="limit_client",
        title="Limit the client that floods {target}",
        who="System administrator",
        steps=(
            "Count the requests of {target} by client and key over the last 15 minutes. A script that polls every "
            "second gets a limit (429, with a time to retry after); an attack is dropped at the firewall. Write to "
            "the owner of the script and show how to subscribe instead."
        ),
        check="The number of requests is back at {request_count}, and processor load is at {cpu_pct}.",
        watch=(Metric.REQUEST_COUNT, Metric.CPU_PCT, Metric.ERROR_COUNT),
        tags=(Tag.CONFIGURATION, Tag.CUSTOMER),
        effort=Effort.REMOTE,
        minutes=15,
    ),
    Action(
        key="trace_missing_requests",
        title="Trace where the requests to {target} stop",
        who="System administrator",
        steps=(
            "Send a request to {target} from outside, from {hub} and from the machine itself, and note the first "
            "that fails: DNS name, balancer, firewall or service. Too few requests with a healthy service mean that "
            "callers are cut off; look at what changed on the path since the onset."
        ),
        check="All three requests succeed, and the number of requests is back at {request_count}.",
        watch=(Metric.REQUEST_COUNT, Metric.UPTIME_PCT),
        tags=(Tag.MONITORING, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="fail_over_server",
        title="Move the service at {target} to its standby server",
        who="System administrator",
        steps=(
            "Check that replication to the standby server at {target} lags by less than 10 seconds, stop the service "
            "on the failing machine for good, so that two never write at once, then move address and service over. "
            "Keep the machine as it is for the post-mortem."
        ),
        check="Uptime of {target} is at {uptime_pct} and response time at {response_time_ms} on the standby.",
        watch=(Metric.UPTIME_PCT, Metric.RESPONSE_TIME_MS, Metric.ERROR_RATE),
        tags=(Tag.SOFTWARE, Tag.HUB),
        effort=Effort.REMOTE,
        minutes=20,
    ),
    Action(
        key="add_server_resources",
        title="Give the servers at {target} more cores and memory",
        who="System administrator",
        steps=(
            "When load follows the number of requests and no process stands out, the machine at {target} is too "
            "small. Add half of its cores and memory in the virtualisation, or a second instance behind the "
            "balancer; on hardware, check first for a throttled processor (above 90 °C) and a broken memory bank."
        ),
        check="In the next busy hour, processor load is near {cpu_pct} and memory near {memory_pct}.",
        watch=(Metric.CPU_PCT, Metric.MEMORY_PCT, Metric.RESPONSE_TIME_MS),
        tags=(Tag.CAPACITY, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=60,
    ),
    Action(
        key="restart_poller",
        title="Restart the poller that reports on {target}",
        who="System administrator",
        steps=(
            "Compare what the monitoring says of {target} with a ping and an SNMP walk from another machine. If "
            "those answer within 2 seconds, the poller hangs or its community or key is wrong: restart it, and "
            "lengthen its timeout to 5 seconds over the satellite."
        ),
        check="Samples of {target} come at their interval again, and uptime reads {uptime_pct}.",
        watch=(Metric.UPTIME_PCT, Metric.REQUEST_COUNT),
        tags=(Tag.MONITORING, Tag.SOFTWARE),
        effort=Effort.REMOTE,
        minutes=10,
    ),
)
