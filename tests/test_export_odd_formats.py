"""Exported templates follow the file: bundled formats with literals or whole keys changed.

What the exporter decides from a format's data it must decide for other data as well: a changed
literal changes the template as it changes `render`, and so do other places, merging, groups and
filters, in combinations that no bundled format has. What no template can follow is refused.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rolecall as rc
from rolecall.export.jinja_patterns import NoTemplate
from tests import test_planted_change as planted
from tests.conftest import EXAMPLES, PROFILE
from tests.support.conversations import random_conversations
from tests.support.shapes import shape_of
from tests.support.template_reference import Failed, Rendered, render
from tests.test_export_jinja import UNSEEN, covered, sampled, wire, words
from tests.test_laws import told_apart

CAST = {"writer": "model", "judge": "model", "crowd": "client"}
AUTHORS = ("owner", "client", "model", "tool")
BODIES = (
    "{content|rstrip-nl}",
    "{content|ltrim}",
    "{content|lstrip-nl}",
    "{reasoning?<think>{reasoning|trim}</think>}{content}",
    "{thinks?<t>{reasoning}</t>\n}{content|strip-nl}{calls?{calls}}",
    "{system?{system}\n}{content}",
)
TURN: dict[str, tuple[Any, ...]] = {
    "merge": ("\n", "\n\n", " "),
    "group": ("\n", ""),
    "gap": ("", "\n"),
    "final_end": ("</s>", "<|end|>", ""),
    "body": BODIES,
}
KEYS: dict[str, dict[str, tuple[Any, ...]]] = {
    "system": {
        "place": ("turn", "start", "first-client", "last-client", "refuse"),
        "default": ("", "Be nice."),
        "fold": ("\n", "\n\n"),
        "join": (" ", ""),
    },
    "tools": {"place": ("system", "start", "first-client", "last-client")},
    "calls": {"max": (1, 2), "max_results": (1, 2), "keep": ("all", "after-last-client")},
    "reasoning": {
        "keep": ("all", "none", "after-last-client", "after-first-reply"),
        "thinks": ("with-reasoning", "also-last"),
    },
    "order": {
        "first_client": (True, False),
        "rules": ([], ["answer-calls"], ["answer-calls", "answer-by-id"]),
    },
    "": {"dummy_prefix": (True, False), "part_join": ("", "\n", " ")},
}


def changed(name: str, choose: random.Random) -> dict[str, Any]:
    """The data of a bundled file with some keys changed."""
    data: dict[str, Any] = json.loads(json.dumps(planted.data_of(name)))
    for _ in range(choose.randint(1, 3)):
        table = choose.choice(["turn", "turn", *KEYS])
        if table == "turn":
            key = choose.choice(list(TURN))
            own = data.setdefault("turn", {}).setdefault(choose.choice(AUTHORS), {})
            own[key] = choose.choice(TURN[key])
        elif table not in ("tools", "calls") or table in data:
            key = choose.choice(list(KEYS[table]))
            found = data.setdefault(table, {}) if table else data
            found[key] = choose.choice(KEYS[table][key])
    return data


def chats(name: str, choose: random.Random) -> list[dict[str, Any]]:
    """Conversations of a format, some of kinds that it does not expect."""
    shape = shape_of(name)
    last = ("user", "assistant", "tool", "call") if shape.calls else ("user", "assistant")
    shape = replace(
        shape,
        last=last,
        json_results=False,
        alternate=choose.random() < 0.5,
        reasoning=choose.random() < 0.5,
        system=choose.choice(["none", "first", "anywhere", "everywhere"]),
    )
    return [told_apart(one) for one in random_conversations(shape, 4, choose.randint(0, 10**9))]


def test_formats_that_nobody_has_are_followed_or_refused(tmp_path: Path) -> None:
    choose = random.Random(EXAMPLES[PROFILE])
    followed = 0
    while followed < max(25, EXAMPLES[PROFILE] // 2):
        name = choose.choice(rc.formats())
        data = changed(name, choose)
        path = tmp_path / f"{name}.toml"
        path.write_text(planted.toml(data), encoding="utf-8")
        markers = choose.random() < 0.3
        try:
            fmt = rc.format(path)
            template = fmt.to_jinja(markers, cast=CAST)
        except (rc.InputError, NoTemplate):
            continue
        followed += 1
        for chat in chats(name, choose):
            arguments = choose.choice(
                [
                    {},
                    {"add_generation_prompt": True},
                    {"speaker": "user"},
                    {"continue_final_message": True},
                ]
            )
            check(fmt, template, chat, arguments, markers=markers)


def check(
    fmt: rc.Format,
    template: str,
    chat: dict[str, Any],
    arguments: dict[str, Any],
    *,
    markers: bool = False,
) -> None:
    """Compare a template with `render` on one conversation."""
    expected = words(fmt, chat, CAST, arguments)
    found = render(
        template, wire(chat["messages"]), chat.get("tools"), generated=markers, **arguments
    )
    if isinstance(found, Rendered):
        assert found.text == expected or UNSEEN.search(expected), (fmt, chat, arguments)
        if markers:
            rendering = fmt.render(chat, cast=CAST, **arguments)
            assert covered(found.generated) == sampled(rendering)
    else:
        assert isinstance(found, Failed)
        assert found.by_template, found
        with pytest.raises(rc.InputError):
            fmt.render(chat, cast=CAST, **arguments)


def is_json(message: dict[str, Any]) -> bool:
    """Whether a message is a result that reads as JSON."""
    try:
        json.loads(str(message.get("content")))
    except ValueError:
        return False
    return message["role"] == "tool"


SHARE = {"quick": 40, "default": 20, "full": 1}[PROFILE]
"""Every how many-th literal is changed."""


def test_a_changed_literal_changes_the_template(tmp_path: Path) -> None:
    count = 0
    for name in rc.formats():
        for number, (plant, fmt) in enumerate(planted.cases(name, tmp_path)):
            if (number + len(name)) % SHARE:
                continue
            template = fmt.to_jinja(cast=CAST)
            assert template != rc.format(name).to_jinja(cast=CAST), plant
            for chat in planted.witnesses(name, fmt):
                if any(map(is_json, chat["messages"])):
                    continue  # A declared limit.
                arguments = chat.get("options", {})
                check(fmt, template, {k: v for k, v in chat.items() if k != "options"}, arguments)
                count += 1
                break
    assert count


def test_merged_turns_that_are_trimmed_part_by_part_are_refused(tmp_path: Path) -> None:
    data = json.loads(json.dumps(planted.data_of("chatml")))
    data["turn"]["client"] = {"merge": "\n", "body": "{content|trim-parts}"}
    path = tmp_path / "trimmed.toml"
    path.write_text(planted.toml(data), encoding="utf-8")
    with pytest.raises(NoTemplate, match="merged and trimmed part by part"):
        rc.format(path).to_jinja()


def test_reasoning_that_an_option_drops_cannot_be_continued(tmp_path: Path) -> None:
    data = json.loads(json.dumps(planted.data_of("chatml")))
    data["turn"]["model"] = {"body": "{reasoning?<t>{reasoning}</t>}{content}"}
    data["reasoning"] = {"when": {"dropped": "none"}}
    data["options"] = {"dropped": {"default": False}}
    path = tmp_path / "dropped.toml"
    path.write_text(planted.toml(data), encoding="utf-8")
    fmt = rc.format(path)
    messages = [{"role": "assistant", "content": "", "reasoning_content": "So"}]
    for dropped in (False, True):
        chat: dict[str, Any] = {"messages": messages}
        arguments: dict[str, Any] = {"continue_final_message": True, "dropped": dropped}
        check(fmt, fmt.to_jinja(), chat, arguments)
        found = render(fmt.to_jinja(), messages, **arguments)
        assert isinstance(found, Failed) == dropped


def test_sorted_results_that_others_may_stand_before_are_refused(tmp_path: Path) -> None:
    name = next(n for n in rc.formats() if (calls := rc.format(n).calls) and calls.sort_results)
    for author in ("owner", "client"):
        data = json.loads(json.dumps(planted.data_of(name)))
        data["order"]["after"][author].append("tool")
        path = tmp_path / f"{author}.toml"
        path.write_text(planted.toml(data), encoding="utf-8")
        with pytest.raises(NoTemplate, match="others may stand before"):
            rc.format(path).to_jinja()
