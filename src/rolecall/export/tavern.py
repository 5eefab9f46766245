"""SillyTavern: presets for instruct mode, the context, the system prompt and reasoning.

SillyTavern writes the story string (system prompt, character card, scenario) between a prefix and a
suffix, and then each message between the sequence and the suffix of its author. The first message,
the last one of the user and the reply may have sequences of their own. `wrap` is off, so that every
newline is one that the preset says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from rolecall.conversation import Author
from rolecall.errors import InputError
from rolecall.export import Exported
from rolecall.export.frames import (
    NAMES,
    Around,
    Chain,
    Difference,
    Frames,
    differences,
    frames,
)
from rolecall.export.losses import FOLDED, plain_losses, writes_reasoning
from rolecall.lost import GRAVITY, Lost

if TYPE_CHECKING:
    from rolecall.format import Format

TITLE = "SillyTavern"

NOTHING = "{{noop}}"
"""A macro that writes nothing: an empty sequence would be replaced by another one."""

NAME = "{{name}}"
"""The macro of who speaks."""

FIELDS = (
    *("anchorBefore", "system", "wiBefore", "description", "personality"),
    *("scenario", "wiAfter", "persona", "anchorAfter"),
)
"""What the story string may hold, in the order of SillyTavern's own presets."""

MACROS = re.compile(r"\{\{|<(?:user|bot|char|group|charifnotgroup)>", re.IGNORECASE)
"""What SillyTavern replaces in sequences."""

REASONING = "\ue002"
"""Stands for reasoning."""

Texts = Mapping[str, str]


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    speaker: str = "assistant",
    user: str = "user",
    cast: object = None,
    names: bool = True,
) -> Exported:
    """Write the presets of a format.

    Args:
        fmt: The format.
        options: Values of its options.
        speaker: The role under which characters speak.
        user: The role under which the user speaks.
        cast: Who authors which role.
        names: Headers say who speaks, where the format has a place for it.

    Raises:
        InputError: If the format cannot write such a conversation.
    """
    made = frames(fmt, options, speaker=speaker, user=user, cast=cast, names=names)
    if made.talk() is None:
        raise InputError(f"{fmt.name} writes no conversation of {user!r} and {speaker!r}")
    sequences = _sequences(made)
    story = _story(made)
    stop = fmt.render(
        [{"role": user, "content": "x"}], cast=cast, speaker=speaker, strict=False, **options
    ).stop
    files, notes = _files(made, sequences, story, stop)
    return Exported(
        "sillytavern",
        {
            name: json.dumps(data, ensure_ascii=False, indent=4) + "\n"
            for name, data in files.items()
        },
        tuple(
            sorted(_lost(made, sequences, story, stop), key=lambda record: -GRAVITY[record.level])
        ),
        tuple(notes),
    )


def _files(
    made: Frames, sequences: Texts, story: Texts, stop: tuple[str, ...]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The presets by the names of their files, and what whoever imports them must know."""
    fmt = made.fmt
    files = {
        "instruct.json": _instruct(fmt, sequences, story, stop),
        "context.json": _context(fmt, story),
    }
    notes = ["import instruct.json and context.json under Advanced Formatting, and choose both"]
    if fmt.system.default and "empty" not in story:
        files["sysprompt.json"] = {
            "name": fmt.name,
            "content": fmt.system.default,
            "post_history": "",
        }
        notes.append("sysprompt.json is the system prompt that the format writes by itself")
    reasoning = _reasoning(made)
    if reasoning is not None:
        files["reasoning.json"] = {"name": fmt.name, **reasoning}
        notes.append(
            "reasoning.json says where reasoning stands; that of which earlier turns is kept is "
            "SillyTavern's 'Add to Prompts'"
        )
    if made.bos:
        notes.append(f"{made.bos!r} is left out: the backend begins every prompt with it")
    notes.append("a message that spells a control token becomes one: text is all that is sent")
    return files, notes


def _instruct(fmt: Format, sequences: Texts, story: Texts, stop: tuple[str, ...]) -> dict[str, Any]:
    return {
        **{key: _with_names(text) for key, text in sequences.items()},
        # Lines are stops of their own there.
        "stop_sequence": "\n".join(end for end in stop if "\n" not in end.strip()),
        "wrap": False,
        "macro": True,
        "names_behavior": "none",
        "activation_regex": "",
        "skip_examples": False,
        "system_same_as_user": _same_as_user(fmt),
        "last_system_sequence": "",
        "last_input_sequence": "",
        "sequences_as_stop_strings": False,
        "story_string_prefix": story["prefix"],
        "story_string_suffix": story["suffix"],
        "name": fmt.name,
    }


def _context(fmt: Format, story: Texts) -> dict[str, Any]:
    return {
        "story_string": story["string"],
        "example_separator": "",
        "chat_start": "",
        "use_stop_strings": False,
        "names_as_stop_strings": False,
        "story_string_position": 0,
        "story_string_depth": 1,
        "story_string_role": 0,
        "always_force_name2": False,
        "trim_sentences": False,
        "single_line": False,
        "name": fmt.name,
    }


def _same_as_user(fmt: Format) -> bool:
    return fmt.system.place != "turn" or "owner" not in fmt.turns


def _folds(fmt: Format) -> bool:
    """Whether the system prompt stands within a turn of the client."""
    return fmt.system.place in FOLDED or fmt.system.place == "refuse" or "owner" not in fmt.turns


def _sequences(made: Frames) -> dict[str, str]:
    """What stands around messages."""
    fmt = made.fmt
    talk = made.talk()
    assert talk is not None
    client, model = talk.turns
    found = {
        "input_sequence": client.opens,
        "input_suffix": client.closes,
        "output_sequence": model.opens,
        "output_suffix": model.closes,
        "system_sequence": "",
        "system_suffix": "",
        "first_input_sequence": "",
        "first_output_sequence": "",
        "last_output_sequence": "",
        "user_alignment_message": "",
    }
    if talk.prompt != model.opens:
        found["last_output_sequence"] = talk.prompt or NOTHING
    owner = made.turn(2, "client", "model", "owner", "client")
    owner = owner or made.turn(1, "client", "owner", "client") or made.turn(0, "owner", "client")
    if owner is not None and not _same_as_user(fmt):
        found |= {"system_sequence": owner.opens, "system_suffix": owner.closes}
    if _folds(fmt):
        # The story string opens the first turn, which is an empty one where the model begins.
        found |= {"first_input_sequence": NOTHING, "user_alignment_message": NOTHING}
    return found


def _story(made: Frames) -> dict[str, str]:
    """The story string with what stands around it."""
    owner = made.turn(0, "owner", "client")
    if not _folds(made.fmt):
        assert owner is not None
        client = made.turn(1, "owner", "client")
        talk = made.talk()
        assert client is not None
        assert talk is not None
        usual = talk.turns[0]
        # What the header holds beyond the usual one ends the system prompt here.
        more = client.opens.removesuffix(usual.opens) if client.opens != usual.opens else ""
        more = more if client.opens.endswith(usual.opens) else ""
        default = _default(made, owner, client)
        fields = {name: f"{{{{#if {name}}}}}{{{{{name}}}}}\n{{{{/if}}}}" for name in FIELDS}
        story = {"prefix": owner.opens, "suffix": owner.closes + more}
        if default:
            fields["system"] = f"{{{{#if system}}}}{{{{system}}}}{{{{else}}}}{default}{{{{/if}}}}\n"
            story["empty"] = story["prefix"] + default + story["suffix"]
        return {"string": "".join(fields.values()) + "{{trim}}", **story}
    first = made.turn(0, "client")
    assert first is not None
    opens, behind = first.opens, "\n\n"
    if owner is not None and (made.fmt.system.default or owner.opens.startswith(opens)):
        client = made.turn(1, "owner", "client")
        opens = owner.opens
        behind = owner.closes + ("" if client is None else client.opens)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first.opens, opens, strict=False))
    shared = "".join(one for one, _ in alike)
    before = opens.removeprefix(shared)
    # What the format says by itself, where there is no system prompt.
    default = first.opens.removeprefix(shared)
    otherwise = f"{{{{else}}}}{default}" if default else ""
    others = "".join(
        f"{{{{#if {name}}}}}\n{{{{{name}}}}}{{{{/if}}}}" for name in FIELDS if name != "system"
    )
    system = f"{before}{{{{system}}}}{others}{behind}"
    return {
        "string": f"{shared}{{{{#if system}}}}{system}{otherwise}{{{{/if}}}}",
        "prefix": "",
        "suffix": "",
        "empty": first.opens,
        "opens": opens,
        "closes": behind,
        "shared": shared,
    }


def _default(made: Frames, owner: Around, client: Around) -> str:
    """The system prompt that the format writes where there is none, if it is text and no more."""
    first = made.turn(0, "client")
    closes = owner.closes + client.opens
    opens = "" if first is None else first.opens
    if not opens.startswith(owner.opens) or not opens.endswith(closes):
        return ""
    default = opens[len(owner.opens) : len(opens) - len(closes)]
    clash = MACROS.search(default) or default.endswith("{")
    return "" if clash or default != default.strip("\n") else default


def declared(made: Frames) -> tuple[list[Difference], list[Lost]]:
    """What SillyTavern writes otherwise than the format; see `differences`."""
    sequences, story, same = _sequences(made), _story(made), _same_as_user(made.fmt)
    return differences(made, TITLE, lambda authors: written(sequences, story, same, authors))


def written(sequences: Texts, story: Texts, same: bool, authors: tuple[Author, ...]) -> Chain:
    """What SillyTavern writes around the contents of these authors.

    A system message at the beginning is the system prompt, others are the narrator's.
    """

    def sequence(key: str, usual: str) -> str:
        return (sequences[key] or sequences[usual]).replace(NOTHING, "")

    turns: list[Around] = []
    lead = story.get("empty", "")
    rest = list(enumerate(authors))
    if authors[:1] == ("owner",):
        opens = story.get("opens", story["prefix"])
        turns.append(Around(opens, story.get("closes", story["suffix"]), 0))
        lead, rest = "", rest[1:]
    if sequences["user_alignment_message"] and (not rest or rest[0][1] != "client"):
        lead += sequence("first_input_sequence", "input_sequence") + sequences["input_suffix"]
    users = [number for number, author in rest if author == "client"]
    for number, author in rest:
        kind = {"client": "input", "model": "output", "owner": "system"}[author]
        if author == "owner" and same:
            kind = "input"
        opens = sequences[f"{kind}_sequence"]
        first = number == rest[0][0] and author != "owner"
        # The first message of a chat that is also the last one of the user counts as the last.
        if first and not (users and number == users[-1]):
            opens = sequence(f"first_{kind}_sequence", f"{kind}_sequence")
        turns.append(Around(lead + opens, sequences[f"{kind}_suffix"], number))
        lead = ""
    return Chain(tuple(turns), lead + sequence("last_output_sequence", "output_sequence"))


def _lost(made: Frames, sequences: Texts, story: Texts, stop: tuple[str, ...]) -> Iterator[Lost]:
    fmt = made.fmt
    places, moved = declared(made)
    yield from (place.record for place in places)
    yield from moved
    carries = {"merge"}
    if made.names:
        carries.add("names")
    if _reasoning(made) is not None:
        carries.add("reasoning")
    yield from plain_losses(fmt, TITLE, carries)
    for key, text in _literals(sequences, story):
        clash = MACROS.search(text.replace(NOTHING, ""))
        if clash is not None:
            detail = f"{TITLE} takes {clash.group()!r} in {key} for a macro of its own"
            yield Lost("error", "macro-clash", None, "content", detail)
    for end in stop:
        if "\n" in end.strip():
            detail = f"{TITLE} cannot hold a newline in a stop string: {end!r} is left out"
            yield Lost("warning", "stop-dropped", None, "stop", detail)
    if sequences["last_output_sequence"]:
        detail = f"{TITLE} opens a reply that it continues as it opens a new one"
        yield Lost("note", "prefill", None, "content", detail)
    detail = f"{TITLE} takes newlines off the ends of the system prompt, and every carriage return"
    yield Lost("note", "trimmed", None, "content", detail)


def _literals(sequences: Texts, story: Texts) -> Iterator[tuple[str, str]]:
    """Text of the format that SillyTavern looks for macros in, by the keys of the presets."""
    yield from sequences.items()
    yield from ((f"story_string_{key}", story[key]) for key in ("prefix", "suffix"))
    if "opens" in story:
        # A macro follows each of these in the story string, and three braces are another macro.
        texts = (story[key] for key in ("shared", "empty", "opens", "closes"))
        for text in dict.fromkeys(texts):
            yield "story_string", f"{text}{{" if text.endswith("{") else text


def _reasoning(made: Frames) -> dict[str, str] | None:
    """Where reasoning stands, or None where it is not text around it at the start of a reply."""
    fmt = made.fmt
    talk = made.chain("client", "model")
    if not writes_reasoning(fmt) or talk is None or talk.turns[0].message != 0:
        return None
    reply = {"role": made.roles["model"], "content": "x", "reasoning_content": REASONING}
    asked = {"role": made.roles["client"], "content": "x"}
    text = fmt.render([asked, reply], cast=made.cast, strict=False, **made.options).text
    before, _, behind = text.partition(REASONING)
    plain = frames_without_names(made)
    first, said = plain.turn(0, "client", "model"), plain.turn(1, "client", "model", "client")
    if first is None or said is None or not behind:
        return None
    opened = f"{made.bos}{first.opens}x{first.closes}{said.opens}"
    if not before.startswith(opened):
        return None
    between, _, _ = behind.partition("x")
    suffix = between.rstrip()
    prefix = before.removeprefix(opened)
    return {"prefix": prefix, "suffix": suffix, "separator": between.removeprefix(suffix)}


def frames_without_names(made: Frames) -> Frames:
    """The same without the names of speakers."""
    return Frames(made.fmt, made.options, made.roles, made.cast, names=False)


def _with_names(text: str) -> str:
    for mark in NAMES.values():
        text = text.replace(mark, NAME)
    return text
