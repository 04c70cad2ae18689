"""How do changes reach every process, in order and with resume?

Offers the event log, its feed, and how processes are woken. Must not know what the events are about.
"""
