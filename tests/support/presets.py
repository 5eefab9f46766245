"""What SillyTavern and KoboldCpp write with exported presets, and chats to try them on.

`tavern` and `kobold` read the files as those programs do (SillyTavern 1.19: public/scripts of its
npm package; KoboldCpp: koboldcpp.py of 2024-10, with `chat_start`, `assistant_gen` and continued
replies of later versions), and share nothing with what wrote them. `tavern_code` runs SillyTavern's
own published code.
"""

import itertools
import json
import random
import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rolecall as rc
from rolecall.conversation import DEFAULT_ROLE, Author
from rolecall.export import Exported
from rolecall.export.frames import Difference
from rolecall.format import Format
from tests.support.assets import asset, package

ROLES: dict[Author, str] = {"owner": "system", "client": "user", "model": "assistant"}

WORDS = ("a", "Is it\nfair?", "é “q”", "{z} [x]", "1 < 2 & 3", "## H\n\n- one")


def chats(rng: random.Random, count: int) -> Iterator[list[dict[str, str]]]:
    """Plain chats of every order, their contents without white space at the ends."""
    for _ in range(count):
        system = rng.random() < 0.5
        authors: list[Author] = ["owner"] if system else []
        spoken: Author = rng.choice(["client", "client", "model"])
        for _ in range(rng.randint(1, 7)):
            authors.append(spoken)
            roll = rng.random()
            if roll < 0.06:
                authors.append("owner")
            if roll < 0.9:
                spoken = "model" if spoken == "client" else "client"
        yield [
            {"role": ROLES[author], "content": f"{rng.choice(WORDS)} {number}"}
            for number, author in enumerate(authors)
        ]


def authors_of(messages: Sequence[Mapping[str, Any]]) -> list[Author]:
    by_role: dict[str, Author] = {role: author for author, role in DEFAULT_ROLE.items()}
    return [by_role[message["role"]] for message in messages]


def is_declared(messages: Sequence[Mapping[str, Any]], places: Sequence[Difference]) -> bool:
    """Whether a chat holds a place that is said to be written otherwise."""
    authors = authors_of(messages)
    roles = ["", *(message["role"] for message in messages), ""]
    pairs = list(itertools.pairwise(roles))
    return any(
        place.covers(pair, authors, behind) for behind, pair in enumerate(pairs) for place in places
    )


def kobold(adapter: Mapping[str, str], messages: Sequence[Mapping[str, str]]) -> str:
    text = adapter.get("chat_start", "")
    for message in messages:
        role = message["role"]
        text += adapter[f"{role}_start"] + message["content"] + adapter[f"{role}_end"]
    return text + adapter.get("assistant_gen", adapter["assistant_start"])


def tavern(instruct: Mapping[str, Any], context: Mapping[str, Any], chat: Mapping[str, Any]) -> str:
    """The prompt for a chat as `tavern_chat` makes it."""
    assert not instruct["wrap"]
    assert instruct["names_behavior"] == "none"

    def filled(text: str, name: str) -> str:
        text = re.sub(r"\n*\{\{trim\}\}\n*", "", text.replace("{{noop}}", ""))
        return text.replace("{{name}}", name)

    def written(message: Mapping[str, str], key: str) -> str:
        who = {"user": "input", "char": "output", "narrator": "system"}[message["who"]]
        if who == "system":
            key, who = "", "input" if instruct["system_same_as_user"] else "system"
        own = f"{who}_sequence"
        sequence = instruct.get(f"{key}_{own}") if key else ""
        name = message["name"] or "System"
        suffix = filled(instruct[f"{who}_suffix"], name)
        return filled(sequence or instruct[own], name) + message["text"] + suffix

    story = handlebars(context["story_string"], {"system": chat["system"]})
    story = filled(story, "System").lstrip("\n")
    if story:
        prefix = filled(instruct["story_string_prefix"], "System")
        story = prefix + story + filled(instruct["story_string_suffix"], "System")
    messages = chat["messages"]
    users = [number for number, message in enumerate(messages) if message["who"] == "user"]
    lines: list[str] = []
    aligning = instruct["user_alignment_message"]
    if aligning and (not messages or messages[0]["who"] != "user"):
        empty = {"who": "user", "name": chat["user"], "text": filled(aligning, chat["user"])}
        lines.append(written(empty, "first"))
    for number, message in enumerate(messages):
        key = "first" if number == 0 else ""
        if users and number == users[-1]:
            key = "last"
        lines.append(written(message, key))
    reply = instruct["last_output_sequence"] or instruct["output_sequence"]
    return story + "".join(lines) + filled(reply, chat["reply"])


def handlebars(source: str, values: Mapping[str, str]) -> str:
    """A story string with its conditions settled and its values in place."""
    tokens = re.split(r"(\{\{(?:#if \w+|/if|\w+)\}\})", source)
    written: list[str] = []
    open_: list[bool] = []
    for token in tokens:
        if token.startswith("{{#if "):
            open_.append(bool(values.get(token[6:-2])))
        elif token == "{{/if}}":
            open_.pop()
        elif token == "{{else}}":
            open_[-1] = not open_[-1]
        elif all(open_):
            name = token[2:-2] if token.startswith("{{") else ""
            written.append(token if not name or name == "trim" else values.get(name, ""))
    assert not open_
    return "".join(written)


def tavern_chat(messages: Sequence[Mapping[str, str]], reply: str) -> dict[str, Any]:
    """A chat as SillyTavern knows it: the first message of the system is its system prompt."""
    who = {"user": "user", "assistant": "char", "system": "narrator"}
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    rest = messages[1:] if messages[0]["role"] == "system" else messages
    return {
        "system": system,
        "messages": [
            {"who": who[m["role"]], "name": m.get("name", ""), "text": m["content"]} for m in rest
        ],
        "user": "Bob",
        "char": "Amy Lee",
        "reply": reply,
    }


def modelfile_template(made: Exported) -> str:
    """The template of an exported Modelfile."""
    found = re.search(r'^TEMPLATE """(.*?)"""$', made.text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


SMALL = {
    "no-owner": """
        title = "No owner"
        control = ["<u>", "<m>"]
        [turn.client]
        open = "<u>"
        [turn.model]
        open = "<m>"
        """,
    "start": """
        title = "System prompt first, with a default and a join of its own"
        control = ["<|u|>", "<|m|>", "<|e|>"]
        begin = "<<"
        [turn.owner]
        gap = "\\n"
        [turn.client]
        open = "<|u|>"
        end = "<|e|>"
        [turn.model]
        open = "<|m|>"
        end = "<|e|>"
        [system]
        place = "start"
        join = " "
        default = "You are nice."
        """,
    "clash": """
        title = "What other programs take for their own"
        control = ["<|u|>", "<|m|>", "<|e|>"]
        [turn]
        end = "<|e|>"
        [turn.owner]
        open = "{{ time }} <USER> "
        [turn.client]
        open = "<|u|>"
        [turn.model]
        open = "<|m|>"
        """,
    "braces": """
        title = "Contents in braces"
        control = ["<|o|>", "<|u|>", "<|m|>", "<|e|>"]
        begin = "{"
        [turn]
        body = "{{content}}"
        end = "}<|e|>"
        [turn.owner]
        open = "<|o|>"
        [turn.client]
        open = "<|u|>"
        [turn.model]
        open = "<|m|>"
        """,
}
"""Formats that are like none of the bundled ones."""


FOLDED = """
    title = "A default system prompt that is folded into a turn"
    control = ["<|u|>", "<|m|>", "<|e|>"]
    [turn]
    end = "<|e|>"
    [turn.owner]
    [turn.client]
    open = "<|u|>"
    [turn.model]
    open = "<|m|>"
    [system]
    place = "first-client"
    fold = " | "
    default = "You are nice."
    """
"""A format that says more by itself than other programs can, most of it declared."""


def small_format(name: str, folder: Path) -> Format:
    """One of `SMALL`, or `FOLDED` under its own name, from a file in the folder."""
    file = folder / f"{name}.toml"
    file.write_text(textwrap.dedent({**SMALL, "folded": FOLDED}[name]), encoding="utf-8")
    return rc.format(str(file))


TAVERN = "npm:sillytavern==1.19.0/public/scripts/instruct-mode.js"
CHEVROTAIN = "npm:chevrotain==11.2.0/lib/chevrotain.min.mjs"
HANDLEBARS = "npm:handlebars==4.7.8/dist/handlebars.js"


def tavern_code(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, list[str]]]:
    """What SillyTavern's own code makes of each ``{instruct, context, chats}``: texts and stops."""
    harness = Path(__file__).with_name("sillytavern.mjs")
    done = subprocess.run(
        [
            *("node", "--experimental-vm-modules", "--no-warnings", harness),
            *(package(TAVERN) / "public", asset(CHEVROTAIN), asset(HANDLEBARS)),
        ],
        input=json.dumps(list(requests)).encode(),
        capture_output=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        raise AssertionError(done.stderr.decode()[-2000:])
    return json.loads(done.stdout)
