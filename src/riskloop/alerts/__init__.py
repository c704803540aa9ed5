"""How people are told: one message, the channels that carry it, and the record of who was told.

*What* is told of is the loop's (`loop/alerts.py`); that the loop stands still, whoever serves says. Each channel is a
body of its own and one POST, or one mail: a library of a hundred services would bring its own way to name them, and
those at hand can neither resolve an incident at PagerDuty nor be pointed at a server of one's own in a test.
"""

from riskloop.alerts.channels import SIGNATURE, TIMESTAMP, Channel, Mail, Post, Reply, channels_of, sign
from riskloop.alerts.heartbeat import beat_in_background
from riskloop.alerts.message import Alert, page
from riskloop.alerts.outbox import send_test, tell
from riskloop.alerts.silence import notify_silence

__all__ = [
    "SIGNATURE",
    "TIMESTAMP",
    "Alert",
    "Channel",
    "Mail",
    "Post",
    "Reply",
    "beat_in_background",
    "channels_of",
    "notify_silence",
    "page",
    "send_test",
    "sign",
    "tell",
]
