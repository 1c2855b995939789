"""`cohort message RUN "…"`: say something to the agent."""

import sys
from argparse import Namespace
from uuid import uuid4

from services.cli.address import open_api
from services.cli.client import path_of
from services.cli.output import remark
from services.cli.problems import Usage


def run(options: Namespace) -> int:
    """Send the message; the agent reads it before its next turn."""
    content = sys.stdin.read() if options.content == "-" else options.content
    if not content.strip():
        raise Usage("the message is empty")
    # The id makes a repeated request the same message.
    body = {"content": content.strip(), "message_id": f"cli-{uuid4().hex}"}
    with open_api() as api:
        api.post(path_of("v1", "runs", options.run, "messages"), body)
    remark(f"{options.run} has your message")
    return 0
