"""How a template ends what the assistant says, for the rules that ask about it."""

from __future__ import annotations

import re

from rolecall.audit.messages import assistant, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import CONTROL_SHAPE, Probe
from rolecall.template.tokens import common_prefix


def tokens_in(probe: Probe, text: str) -> list[re.Match[str]]:
    """Control tokens in a text that the template wrote, known ones and what looks like one."""
    known = sorted(probe.control, key=len, reverse=True)
    pattern = "|".join((*map(re.escape, known), CONTROL_SHAPE.pattern))
    return list(re.finditer(pattern, text))


def answered(probe: Probe) -> Outcome:
    """A question and its answer, without a generation prompt: what training reads."""
    return probe.run([user(), assistant()])


def left_behind(outcome: Outcome, message: int) -> str | None:
    """What stands behind a message's content up to the end; None where it did not arrive."""
    place = outcome.place(message)
    return None if place is None else outcome.text[place[1] :]


def end_in_history(probe: Probe) -> str | None:
    """What the template writes to end an assistant's turn that another message follows.

    Empty where the next turn's header follows at once. None where that cannot be said.
    """
    chat = probe.chat
    own, following = chat.place(1), chat.place(2)
    if own is None or following is None or following[0] < own[1]:
        return None
    between = chat.text[own[1] : following[0]]
    last = left_behind(answered(probe), 1) or ""
    turn = chat.turn(1)
    looped = "" if turn is None else chat.text[own[1] : min(turn[1], following[0])]
    ways = (last if between.startswith(last) else "", looped, _before_header(probe, between))
    return next((way for way in ways if tokens_in(probe, way)), max(ways, key=len))


def _before_header(probe: Probe, between: str) -> str:
    """What stands between an answer and the header of the user's turn, whole tokens.

    The header is what stands before the first user's content as well.
    """
    place = probe.hello.place(0)
    if place is None:
        return ""
    head = probe.hello.text[: place[0]]
    end = len(between) - len(common_prefix(between[::-1], head[::-1]))
    for token in tokens_in(probe, between):
        if token.start() < end < token.end():
            end = token.end()
    return between[:end]


def parting(probe: Probe, first: str, second: str) -> int:
    """Where two texts begin to differ, at the start of a token."""
    same = len(common_prefix(first, second))
    for text in (first, second):
        for token in tokens_in(probe, text[: same + 60]):
            if token.start() < same < token.end():
                return token.start()
    return same


def quoted(text: str, most: int = 60) -> str:
    """A text in quotes for a sentence, cut where it is long."""
    return repr(text if len(text) <= most else f"{text[: most - 1]}…")


def own_token(probe: Probe) -> str | None:
    """A control token to try in a caller's text: what ends a turn, or else another one in use."""
    shown = probe.chat if probe.chat.ok else probe.hello
    for text in (end_in_history(probe) or "", shown.structure()):
        tokens = [token[0] for token in tokens_in(probe, text)]
        # Bos is what a text begins with, and says nothing of turns.
        for token in tokens:
            if token in probe.source.eos or token != probe.source.tokens.get("bos_token"):
                return token
    return next(iter(probe.source.eos), None)


def stands_in(outcome: Outcome, token: str, message: int, field: str) -> tuple[int, int] | None:
    """Where a field of the caller's spells a token, or None where it does not stand there whole."""
    for span in outcome.spans(message, field):
        at = outcome.text.find(token, span.start, span.end)
        if at >= 0:
            return at, at + len(token)
    return None
