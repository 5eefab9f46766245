"""Whether a format has room for a thing at all: what several rules ask before they call it lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rolecall.audit.messages import (
    CITY,
    RESULT,
    SECOND_CALL_ID,
    Wire,
    call,
    calling,
    result,
    system,
    user,
    weather,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe

SECOND_CITY = "Oslo"
SECOND_RESULT = "12 degrees, rain."


def system_lost_at_start(probe: Probe) -> bool:
    """Whether `system-dropped` speaks of the simplest chat: other places are its consequence."""
    shown = probe.run([system(), user()], add_generation_prompt=True)
    return shown.ok and not shown.reached(0)


def city_call(probe: Probe, *, call_id: str | None = None, city: str = CITY) -> dict[str, Any]:
    """A call with its arguments in the form that the template takes."""
    arguments = probe.arguments({"city": city})
    return call(arguments=arguments, **({} if call_id is None else {"call_id": call_id}))


def two_calls(probe: Probe) -> list[dict[str, Any]]:
    """Two calls of the same tool in one turn."""
    return [city_call(probe), city_call(probe, call_id=SECOND_CALL_ID, city=SECOND_CITY)]


def two_results() -> list[Wire]:
    """What both calls gave, in the order of the calls."""
    return [result(RESULT), result(SECOND_RESULT, SECOND_CALL_ID)]


def with_tools(probe: Probe, messages: Sequence[Wire], **options: Any) -> Outcome:
    """A conversation in which a tool is given; without it, if the template raises with it."""
    shown = probe.run(messages, tools=[weather()], **options)
    if not shown.ok:
        bare = probe.run(messages, **options)
        return bare if bare.ok else shown
    return shown


def tool_loop(probe: Probe) -> Outcome:
    """User, call, result, and the model's turn: the plainest use of a tool."""
    return with_tools(
        probe, [user(), calling(city_call(probe)), result()], add_generation_prompt=True
    )


def has_place_for_tools(probe: Probe) -> bool:
    """Whether the template writes schemas of tools, or calls of them, anywhere."""
    if probe.takes_tools or probe.takes_calls:
        return True
    if tool_loop(probe).reached(1, "tool_calls"):
        return True
    # Some write a call only where there is nothing else in the message.
    bare = with_tools(probe, [user(), calling(city_call(probe), content=None)])
    return bare.reached(1, "tool_calls[0].function")
