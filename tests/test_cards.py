"""Character cards: what is read of them, the conversation they become, and every error whole."""

import base64
import json
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecall as rc
from rolecall.cards import Card, CardConversation, CardError, read_card, source
from rolecall.conversation import AUTHORS
from tests.support.assets import asset
from tests.support.cards import (
    SERAPHINA,
    SIGNATURE,
    aichar,
    packed,
    picture,
    read_by_reader,
    tavern_card,
    text_chunk,
    v1,
    v2,
    v3,
    versions_by_sillytavern,
)
from tests.support.tiny import tiny_tokenizer

EXAMPLES = Path(__file__).parents[1] / "examples" / "cards"
TEXTS = ("description", "personality", "scenario", "first_mes", "mes_example")


def made(card: object, **options: Any) -> CardConversation:
    found: Any = card
    return (found if isinstance(card, Card) else read_card(found)).to_conversation(**options)


def wire(card: object, **options: Any) -> list[dict[str, Any]]:
    return made(card, **options).conversation.to_wire()["messages"]


def system(card: object, **options: Any) -> str:
    """The system message without the sentence that stands in for a card's own prompt."""
    (message, *_) = wire(card, **{"system": "", **options})
    assert message["role"] == "system"
    return message["content"]


def records(card: object, **options: Any) -> list[tuple[str, str, str]]:
    return [(one.level, one.code, one.field) for one in made(card, **options).lost]


# --- What is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [v1, v2, v3])
def test_the_texts_of_every_version_are_read(form: Any) -> None:
    given = {field: f"the {field}" for field in TEXTS}
    card = read_card(form(**given))
    assert {field: getattr(card, field) for field in TEXTS} == given
    assert (card.name, card.speaker) == ("Amy", "Amy")
    assert card.spec == form.__name__
    assert not card.other


def test_what_is_missing_or_null_is_what_the_specification_defaults_to() -> None:
    nothing = dict.fromkeys((*TEXTS, "tags", "character_book", "extensions", "creator"))
    assert read_card(v2(**nothing)) == read_card(v2())


def test_a_nickname_is_one_in_v3_alone() -> None:
    assert read_card(v3(nickname="Ames")).speaker == "Ames"
    assert read_card(v3(nickname=" ")).speaker == "Amy"
    card = read_card(v2(nickname="Ames"))
    assert (card.speaker, card.other) == ("Amy", {"data.nickname": "Ames"})


def test_the_copy_at_the_root_is_told_only_where_it_differs() -> None:
    card = read_card({**v2(description="new"), "name": "Amy", "description": "old", "fav": True})
    assert card.description == "new"
    assert card.other == {"description": "old", "fav": True}


def test_the_picture_of_a_v3_card_has_precedence_over_its_copy() -> None:
    data = picture(
        text_chunk("chara", v2(description="copy")), text_chunk("ccv3", v3(nickname="A"))
    )
    assert read_card(data) == read_card(v3(nickname="A"))
    assert read_card(picture(text_chunk("Chara", v1()))) == read_card(v1())


def test_compressed_and_international_text_chunks_are_read() -> None:
    card, text = v2(description="é🦜"), packed(v2(description="é🦜"))
    for chunk in [
        (b"zTXt", b"chara\0\0" + zlib.compress(text)),
        (b"iTXt", b"chara\0\0\0en\0card\0" + text),
        (b"iTXt", b"chara\0\1\0\0\0" + zlib.compress(text)),
        (b"tEXt", b"chara\0" + text.rstrip(b"=")[:9] + b"\r\n" + text.rstrip(b"=")[9:]),
    ]:
        assert read_card(picture((b"tEXt", b"Title\0chara"), chunk)) == read_card(card)


def test_what_tavern_card_writes_is_read_as_it_reads_it_and_the_other_way_round() -> None:
    with tavern_card() as other:
        for form in (v2, v3):
            given = form(
                description="Größe 大 🦜",
                first_mes="Hi\n",
                alternate_greetings=["a", "b"],
                tags=["t"],
            )
            data = other.write_png_card(given, None)
            assert read_card(data) == read_card(other.parse_png_card(data))
            mine = picture(text_chunk("chara", given))
            read, theirs = read_card(mine), other.parse_png_card(mine)["data"]
            for field in ("name", *TEXTS, "alternate_greetings", "tags"):
                value = getattr(read, field)
                assert (list(value) if isinstance(value, tuple) else value) == theirs[field]


@pytest.mark.full
def test_a_published_card_is_read_as_its_other_readers_read_it() -> None:
    file = asset(SERAPHINA)
    theirs, card = read_by_reader(file), read_card(file)
    for field in (*TEXTS, "name", "system_prompt", "post_history_instructions", "creator_notes"):
        assert getattr(card, field) == theirs[field]
    assert list(card.alternate_greetings) == theirs["alternate_greetings"]
    assert card.character_book is not None
    entries = theirs["character_book"]["entries"]
    assert len(entries) > 2
    assert [entry.content for entry in card.character_book.entries] == [
        entry["content"] for entry in entries
    ]
    prompt, greeting = wire(card, user="Ann")
    assert theirs["description"].split("\r\n")[0] in prompt["content"]
    assert "{{" not in prompt["content"] + greeting["content"]
    assert greeting["content"] == theirs["first_mes"]


@pytest.mark.full
def test_pictures_of_these_tests_are_pictures_to_another_reader(tmp_path: Path) -> None:
    for number, (keyword, card) in enumerate([("chara", v2(scenario="é")), ("ccv3", v3())]):
        file = tmp_path / f"{number}.png"
        file.write_bytes(picture(text_chunk(keyword, card)))
        theirs = read_by_reader(file)
        assert theirs["name"] == "Amy"
        assert theirs.get("scenario") == card["data"].get("scenario")


@pytest.mark.full
def test_a_picture_that_aichar_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "card.png"
    with aichar() as other:
        texts = ("summary", "é 大", "where", "Hi {{user}}", "{{user}}: a\n{{char}}: b")
        written = other.create_character("Amy", *texts, str(asset(SERAPHINA)))
        written.export_neutral_card_file(str(file))
        theirs = other.load_character_card(picture(text_chunk("chara", v1(first_mes="Hé"))))
    card = read_card(file)
    assert card.name == "Amy"
    assert (card.description, *(getattr(card, field) for field in TEXTS[1:])) == texts
    assert (theirs.name, theirs.greeting_message) == ("Amy", "Hé")


@pytest.mark.full
def test_the_example_card_is_one_to_sillytavern() -> None:
    card = json.loads((EXAMPLES / "unit7.json").read_text(encoding="utf-8"))
    assert versions_by_sillytavern([card, {"spec": "chara_card_v2"}]) == [2, False]


# --- Markdown -------------------------------------------------------------------------------------

HEADED = """# Amy Lee #

- {{char}} is calm
  - indented

### Deep
## Looks
```
## no heading
# nor this
```
## First Message
Hi.

## GREETING
Ho.
## Post-history instructions
Short.
## Example_dialogue
{{char}}: One
## Examples
{{char}}: Two
"""


def test_headings_divide_a_markdown_card() -> None:
    card = read_card(HEADED.replace("\n", "\r\n").encode())
    assert card == Card(
        name="Amy Lee",
        description="# Amy Lee #\n\n- {{char}} is calm\n  - indented\n\n### Deep\n## Looks\n```\n"
        "## no heading\n# nor this\n```",
        first_mes="Hi.",
        alternate_greetings=("Ho.",),
        mes_example="{{char}}: One\n<START>\n{{char}}: Two",
        post_history_instructions="Short.",
        spec="markdown",
    )


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("# C#", "C#"),
        ("# C# ##", "C#"),
        ("   #\tAmy  ", "Amy"),
        ("# Amy #", "Amy"),
        ("# a # b", "a # b"),
    ],
)
def test_the_main_heading_is_the_name(line: str, name: str) -> None:
    assert read_card(line.encode()).name == name


def test_a_byte_order_mark_is_no_error() -> None:
    for text in ('{"name": "Amy"}', "# Amy\n"):
        assert read_card(b"\xef\xbb\xbf" + text.encode()) == read_card(text.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Amy is calm.", "it has no main heading; begin with a line '# '"),
        ("## Amy\n", "it has no main heading"),
        ("#Amy\n", "it has no main heading"),
        ("```\n# Amy\n```\n", "it has no main heading"),
        ("\nAmy\n\n# Amy\n", "line 2 stands before the main heading in line 4"),
        ("# Amy\n# Bob\n", "line 2 is a second main heading, 'Bob'; a card has one character"),
        ("#\n", "the main heading in line 1 is empty"),
        (
            "# Amy\n## System prompt\na\n## System prompt\nb",
            "system prompt: there are two sections",
        ),
    ],
)
def test_markdown_that_is_no_card_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(CardError) as raised:
        read_card(text.encode())
    assert said in str(raised.value)


def test_long_lines_of_marks_are_read_fast() -> None:
    began = time.process_time()
    read_card(("# Amy\n# ".replace("\n# ", "\n## ") + "# " * 100_000 + "x\n").encode())
    made(v1(description="{{a" * 100_000 + "}}" * 100_000))
    made(v3(character_book={"entries": [{"content": "@@role a\n" * 100_000, "constant": True}]}))
    made(v1(mes_example="<START>\nhm\n" * 100_000))
    made(v1(description="{{reverse:" * 50_000 + "}}" * 50_000))
    made(v1(mes_example="".join(f"N{n:05}x: a\n" for n in range(20_000)), description="A " * 9999),
         examples="turns")  # fmt: skip
    assert time.process_time() - began < 8


# --- Placeholders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{char}} {{CHAR}} {{ Char }} <BOT> <char>", "Amy Amy Amy Amy Amy"),
        ("{{user}} <USER> <user>", "Bo Bo Bo"),
        ("a{{// no {{random:x,y}} }}b{{comment: c}}{{hidden_key:d}}", "ab"),
        ("{{reverse:{{char}}!}}", "!ymA"),
        ("{{{char}}} {char} {{ and }}", "{Amy} {char} {{ and }}"),
        ("{{char", "{{char"),
    ],
)
def test_placeholders_are_replaced(text: str, expected: str) -> None:
    card = v3(description=text)
    assert system(card, user="Bo") == expected
    codes = [code for _, code, _ in records(card, user="Bo")]
    assert codes == (["macro-unknown"] if " and " in text else [])


def test_a_name_that_spells_a_placeholder_stays_a_name() -> None:
    card = v1(description="{{user}} and {{char}}")
    assert system(card, user="{{char}}") == "{{char}} and Amy"


@pytest.mark.parametrize("text", ["{{random:a,b}}", "{{pick::a,b}}", "{{roll:d6}}"])
def test_what_is_drawn_by_lot_stays_with_a_warning_or_is_drawn_from_a_seed(text: str) -> None:
    card = v3(description=text)
    assert system(card) == text
    assert records(card) == [("warning", "macro-undrawn", "description")]
    drawn = {system(card, seed=seed) for seed in range(30)}
    assert drawn == ({"1", "2", "3", "4", "5", "6"} if "roll" in text else {"a", "b"})
    assert system(card, seed=3) == system(card, seed=3)
    assert records(card, seed=3) == []


def test_a_placeholder_that_stays_is_told_once_a_field() -> None:
    card = v1(description="{{time}} {{time}}", scenario="{{time}}")
    assert records(card) == [
        ("warning", "macro-unknown", "description"),
        ("warning", "macro-unknown", "scenario"),
    ]


def test_a_comma_may_be_escaped_and_a_die_without_sides_stays() -> None:
    card = v3(description=r"{{random:a\,b}}", scenario="{{roll:0}}")
    assert system(card, seed=1) == "a,b\n\nScenario: {{roll:0}}"
    assert records(card, seed=1) == [("warning", "macro-undrawn", "scenario")]


@pytest.mark.parametrize(
    "text", ["{{time}}", "{{getvar::x}}", "{{original}}", "{{char:x}}", "{{}}"]
)
def test_what_no_specification_has_stays_with_a_warning(text: str) -> None:
    assert system(v3(description=text)) == text
    assert records(v3(description=text)) == [("warning", "macro-unknown", "description")]


def test_original_is_the_prompt_that_would_have_stood_there() -> None:
    card = v2(system_prompt="{{original}} Be kind.", post_history_instructions="{{original}}Go.")
    first, last = wire(card, user="Bo")
    assert first["content"] == (
        "This is a chat between Amy and Bo. Write what Amy says and does. Be kind."
    )
    assert wire(card, system="You are Amy.")[0]["content"] == "You are Amy. Be kind."
    assert last == {"role": "system", "content": "Go."}
    assert wire(v2(), system="You are Amy.")[0]["content"] == "You are Amy."
    assert wire(v2(), system="") == []


# --- The conversation -----------------------------------------------------------------------------


def test_the_fields_stand_in_the_order_of_the_consumers() -> None:
    entries = [
        {"content": "late", "constant": True, "insertion_order": 2, "enabled": True},
        {"content": "early", "constant": True, "insertion_order": 1},
        {"content": "before", "constant": True, "position": "before_char"},
    ]
    card = v2(
        description="D", personality="P", scenario="S", mes_example="{{char}}: E", first_mes=" G\r\n",
        system_prompt="Y", post_history_instructions="Z", character_book={"entries": entries},
    )  # fmt: skip
    assert made(card).conversation.to_wire() == {
        "messages": [
            {
                "role": "system",
                "content": "Y\n\nbefore\n\nD\n\nPersonality: P\n\nScenario: S\n\nearly\n\nlate\n\n"
                "Example dialogue:\nAmy: E",
            },
            {"role": "assistant", "name": "Amy", "content": " G\n", "weight": 0.0},
            {"role": "system", "content": "Z"},
        ]
    }


def test_a_role_of_ones_own_is_cast() -> None:
    card = v1(first_mes="Hi")
    conversation = made(card, role="writer", user_role="player").conversation
    assert conversation.to_wire()["cast"] == [
        {"role": "writer", "author": "model"},
        {"role": "player", "author": "client"},
    ]
    assert conversation.messages[-1].role == "writer"


def test_under_one_role_the_cast_tells_the_speakers_apart_by_name() -> None:
    card = v1(mes_example="Amy: a\nBo: b\nCy: c", first_mes="Hi", description="Cy is there.")
    conversation = made(
        card, user="Bo", role="chat", user_role="chat", examples="turns"
    ).conversation
    assert conversation.authors({}) == ("owner", "model", "client", "model", "model")
    fmt = rc.format("openchatml-role-name")
    text = fmt.render(conversation).text
    back = fmt.parse(text, cast=conversation.cast)
    assert [(m.name, m.content) for m in back.messages] == [
        (m.name, m.content) for m in conversation.messages
    ]


def test_nothing_of_a_card_is_trained_on() -> None:
    card = v1(mes_example="Amy: a\nUser: b", first_mes="Hi")
    conversation = made(card, examples="turns").conversation
    reply: list[Any] = [
        {"role": "user", "content": "So?"},
        {"role": "assistant", "content": "Yes."},
    ]
    encoding = (
        rc.format("chatml-names")
        .render([*conversation.messages, *reply])
        .encode(tiny_tokenizer("<|im_start|>", "<|im_end|>", begins_with="<s>"))
    )
    trained = [
        encoding.rendering.conversation.messages[index].content
        for index in sorted(
            {int(m) for m in encoding.message[encoding.weights(author="model") > 0]}
        )
    ]
    assert trained == ["Yes."]


@pytest.mark.parametrize(
    ("options", "content", "lost"),
    [
        ({}, "Hi Bo", "alternate_greetings"),
        ({"greeting": 1}, "Bo.", "first_mes"),
        ({"greeting": 2}, "", "first_mes, alternate_greetings"),
        ({"greeting": None}, "", "first_mes, alternate_greetings"),
    ],
)
def test_one_greeting_is_chosen_and_the_others_are_told(
    options: dict[str, Any], content: str, lost: str
) -> None:
    card = v2(first_mes="Hi {{user}}", alternate_greetings=["{{user}}.", ""])
    said = [m["content"] for m in wire(card, user="Bo", system="", **options)]
    assert said == ([content] if content else [])
    ((level, code, field),) = records(card, user="Bo", **options)
    assert (code, field) == (
        "field-dropped" if options.get("greeting", 0) is None else "greeting-other", lost
    )  # fmt: skip
    assert level == ("warning" if code == "field-dropped" else "note")


# --- Example dialogue -----------------------------------------------------------------------------


def turns(example: str, **fields: Any) -> list[tuple[str, str]]:
    options = {key: fields.pop(key) for key in ("speakers", "user") if key in fields}
    found = wire(v3(mes_example=example, **fields), examples="turns", system="", **options)
    return [(m["name"], m["content"]) for m in found if m["role"] != "system"]


def test_blocks_become_turns() -> None:
    example = "<START>\n{{user}}: hi\n{{char}}:hello\nthere: all\n\n<start>\n{{char}}：bye\n"
    assert turns(example) == [("User", "hi"), ("Amy", "hello\nthere: all"), ("Amy", "bye")]
    assert [code for _, code, _ in records(v1(mes_example=example), examples="turns")] == [
        "example-turns"
    ]


def test_each_turn_has_the_role_of_who_speaks() -> None:
    card = v1(mes_example="Amy: a\nBo: b\nCy: c", scenario="Cy waits.")
    _, *said = wire(card, user="Bo", role="writer", user_role="player", examples="turns")
    assert [(m["role"], m["name"]) for m in said] == [
        ("writer", "Amy"),
        ("player", "Bo"),
        ("writer", "Cy"),
    ]


def test_a_person_cannot_have_either_of_the_characters_names() -> None:
    for user in ("Amy", "Ames"):
        with pytest.raises(CardError, match="is the character's own name"):
            made(v3(nickname="Ames"), user=user)


def test_the_character_is_one_under_name_and_nickname() -> None:
    assert turns("{{char}}: a\nAmy: b", nickname="Ames") == [("Ames", "a"), ("Ames", "b")]


def test_a_longer_name_is_not_read_as_the_shorter_one_it_begins_with() -> None:
    assert turns("Amy: X: a\nAmy: b", user="Amy: X") == [("Amy: X", "a"), ("Amy", "b")]


def test_others_are_found_where_the_card_speaks_of_them() -> None:
    example = "Amy: a\nBo Ray: b\nMood: calm\n<START>\nCy: c\nAmy: Note: d\nhe said: e"
    card = v1(mes_example=example, description="Bo Ray lives here. Mood: calm.")
    assert turns(example, description="Bo Ray lives here. Mood: calm.") == [
        ("Amy", "a"), ("Bo Ray", "b\nMood: calm"), ("Cy", "c"), ("Amy", "Note: d\nhe said: e"),
    ]  # fmt: skip
    told = {one.code: one.detail for one in made(card, examples="turns").lost}
    assert "'Cy'" in told["speaker-found"]
    assert told["speaker-doubtful"].startswith(
        "'Mood' at the beginning of a line is taken for text"
    )


def test_named_speakers_are_the_only_others() -> None:
    example = "Bo: a\nMood: b\nAmy: c"
    assert turns(example, speakers=["Mood"]) == [("Mood", "Bo: a\nb"), ("Amy", "c")]
    assert turns(example, speakers=["Bo"]) == [("Bo", "a\nMood: b"), ("Amy", "c")]
    assert turns(example, speakers=[]) == [("Amy", "Bo: a\nMood: b\nc")]
    assert ("note", "example-opening", "mes_example") in records(
        v1(mes_example=example), examples="turns", speakers=[]
    )


def test_an_example_without_speakers_stands_in_the_system_prompt() -> None:
    card = v1(mes_example="*She smiles.*\n<START>\nAmy: a")
    assert system(card, examples="turns") == "Example dialogue:\n*She smiles.*"
    assert ("note", "example-unnamed", "mes_example") in records(card, examples="turns")


def test_an_opening_lets_the_person_speak_first() -> None:
    card = v1(first_mes="Hi {{user}}", mes_example="Amy: a")
    said = wire(card, user="Bo", opening="{{char}}?", examples="turns", system="")
    assert [(m["role"], m.get("name"), m["content"], m.get("weight")) for m in said] == [
        ("assistant", "Amy", "a", 0),
        ("user", "Bo", "{{char}}?", None),
        ("assistant", "Amy", "Hi Bo", 0),
    ]
    chat = made(v1(first_mes="Hi"), opening="Hello?", system="").conversation
    text = rc.format("gemma-3").render(chat).text
    assert text.index("Hello?") < text.index("Hi")
    with pytest.raises(rc.InputError, match="expected client"):
        rc.format("gemma-3").render(made(v1(first_mes="Hi"), system="").conversation)


def test_examples_left_out_are_told() -> None:
    card = v1(mes_example="Amy: a")
    assert wire(card, examples="none", system="") == []
    assert records(card, examples="none") == [("warning", "field-dropped", "mes_example")]


# --- Lore -----------------------------------------------------------------------------------------


def lore(*entries: Mapping[str, Any], form: Any = v3, **options: Any) -> tuple[str, list[Any]]:
    card = form(first_mes="Hi", description="D", character_book={"entries": list(entries)})
    return system(card, **options), records(card, **options)


def test_entries_that_wait_for_words_are_told_and_not_written() -> None:
    entries = [
        {"content": "a", "keys": ["tower"]},
        {"content": "b", "constant": True, "enabled": False},
        {"content": " ", "constant": True},
        {"content": "c", "constant": True, "use_regex": True},
    ]
    text, lost = lore(*entries)
    assert (text, lost) == ("D", [("note", "lore-waiting", "character_book")])
    card = v3(character_book={"entries": entries})
    (record,) = made(card).lost
    assert record.detail.startswith("2 of 4 entries wait")
    assert record.detail.endswith(": 'tower', 'number 3'")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@@activate\nL", "D\n\nL"),
        ("@@dont_activate\nL", "D"),
        ("@@dont_activate\n@@activate\n\nL", "D\n\nL"),
        ("@@position before_desc\nL", "L\n\nD"),
        ("@@position personality\nL", "D\n\nPersonality: L"),
        ("@@position scenario\nL {{char}}", "D\n\nScenario: L Amy"),
        ("@@position attic\n@@@position before_desc\nL", "L\n\nD"),
        ("@@position after_desc\n@@@position before_desc\nL", "D\n\nL"),
        ("@@is_greeting 0\nL", "D\n\nL"),
        ("@@is_greeting 1\nL", "D"),
        ("@@activate_only_after 3\nL", "D"),
        ("@@some_program 3\n@@@activate_only_every 2\nL", "D"),
        ("@@scan_depth 3\nL\n@@position before_desc", "D\n\nL\n@@position before_desc"),
    ],
)
def test_decorators_of_v3_are_followed(content: str, expected: str) -> None:
    text, lost = lore({"content": content, "constant": True})
    assert text == expected
    assert lost == ([] if "L" in expected else [("note", "lore-waiting", "character_book")])


def test_a_place_among_the_messages_is_told() -> None:
    text, lost = lore({"content": "@@depth 4\n@@role user\nL", "constant": True})
    assert text == "D\n\nL"
    assert lost == [("note", "lore-moved", "character_book.entries[0]")]


def test_v2_has_no_decorators() -> None:
    text, _ = lore({"content": "@@depth 4\nL", "constant": True}, form=v2)
    assert text == "D\n\n@@depth 4\nL"


# --- Nothing is lost in silence -------------------------------------------------------------------

MARKS = st.from_regex(r"[a-z]{3}[0-9]{6}", fullmatch=True)
FIELDS = (
    *TEXTS,
    *(
        "system_prompt",
        "post_history_instructions",
        "creator_notes",
        "creator",
        "character_version",
    ),
)


@given(
    form=st.sampled_from([v1, v2, v3]),
    texts=st.dictionaries(st.sampled_from(FIELDS), MARKS),
    lists=st.dictionaries(
        st.sampled_from(["alternate_greetings", "group_only_greetings", "tags"]),
        st.lists(MARKS, min_size=1, max_size=3),
    ),
    entries=st.lists(st.tuples(MARKS, st.booleans()), max_size=3),
    extensions=st.dictionaries(MARKS, MARKS, max_size=2),
    examples=st.sampled_from(["system", "turns", "none"]),
    post_history=st.booleans(),
    greeting=st.sampled_from([0, None]),
)
def test_what_is_not_in_the_conversation_is_in_the_record(
    form: Any,
    texts: dict[str, str],
    lists: dict[str, list[str]],
    entries: list[tuple[str, bool]],
    extensions: dict[str, str],
    **options: Any,
) -> None:
    book = {"entries": [{"content": text, "constant": on} for text, on in entries]}
    fields = {**texts, **lists, "extensions": extensions, "assets": [{"type": "icon"}]}
    result = made(form(**fields, character_book=book), **options)
    written = json.dumps(result.conversation.to_wire())
    told = " ".join(record.field for record in result.lost)
    for field, value in texts.items():
        assert value in written or field in told
    for field, values in lists.items():
        assert field in told or all(value in written for value in values)
    for text, on in entries:
        assert text in written if on else "character_book" in told
    for key in extensions:
        assert f"extensions.{key}" in told
    assert "assets" in told


def test_a_programs_own_note_among_the_messages_is_told() -> None:
    card = v2(extensions={"depth_prompt": {"prompt": "P", "depth": 4}, "fav": False})
    assert records(card) == [
        ("warning", "field-dropped", "extensions.depth_prompt"),
        ("note", "field-dropped", "extensions.fav"),
    ]


def test_a_version_newer_than_the_known_one_is_read_with_a_warning() -> None:
    assert records({**v3(), "spec_version": "3.1"}) == [("warning", "newer-spec", "spec_version")]
    for version in ("3.0", "2.9", "next", "nan"):
        assert records({**v3(), "spec_version": version}) == []


# --- Bad input ------------------------------------------------------------------------------------


def entry(**fields: Any) -> dict[str, Any]:
    return v2(character_book={"entries": [{"content": "a"}, fields]})


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ([], "", "found a list []; a card is a JSON object"),
        ({}, "", "there is no 'name' and no 'spec'"),
        ({"char_name": "Amy"}, "", "found are the keys 'char_name'"),
        ({"messages": []}, "", "it holds a conversation"),
        ({"name": ""}, "name", "it is missing or empty"),
        ({"name": 3}, "name", "found a number 3; it must be a string"),
        ({"data": v1()}, "spec", "it is missing; beside 'data' it must be 'chara_card_v2' or"),
        ({"spec": "chara_card_v4", "data": {}}, "spec", "found a string 'chara_card_v4'; it must"),
        ({"spec": "chara_card_2", "data": {}}, "spec", "; did you mean 'chara_card_v2'?"),
        ({"spec": 2}, "spec", "found a number 2"),
        ({"spec": "lorebook_v3", "data": {}}, "spec", "found a string 'lorebook_v3'"),
        ({"spec": "chara_card_v2"}, "data", "found nothing; a V2 card has its fields in an object"),
        ({"spec": "chara_card_v3", "data": "x"}, "data", "found a string 'x'; a V3 card"),
        ({**v2(), "spec_version": 2.0}, "spec_version", "found a number 2.0; it must be a string"),
        (v2(name=None), "data.name", "it is missing or empty; a card names its character"),
        (v2(first_mes=["a"]), "data.first_mes", "found a list ['a']; it must be a string"),
        (v2(scenario="\ud800"), "data.scenario", "character 0 is the lone surrogate '\\ud800'"),
        (v2(tags="a"), "data.tags", "found a string 'a'; it must be a list of strings"),
        (v2(tags=["a", 1]), "data.tags[1]", "found a number 1; it must be a string"),
        (v2(extensions=[]), "data.extensions", "found a list []; it must be an object"),
        (v2(character_book=True), "data.character_book", "found a boolean True; it must be an obj"),
        (v2(character_book={}), "data.character_book.entries", "found nothing; it must be a list"),
        (v2(character_book={"entries": {}}), "data.character_book.entries", "found an object {}"),
        (entry(content=1), "data.character_book.entries[1].content", "it must be a string"),
        (entry(keys="a"), "data.character_book.entries[1].keys", "it must be a list of strings"),
        (entry(constant=1), "data.character_book.entries[1].constant", "it must be true or false"),
        (entry(enabled="no"), "data.character_book.entries[1].enabled", "it must be true or false"),
        (entry(insertion_order=True), "data.character_book.entries[1].insertion_order", "a number"),
        (entry(position="befor_char"), "data.character_book.entries[1].position", "did you mean"),
        (v2(character_book={"entries": [1]}), "data.character_book.entries[0]", "is an object"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_field_and_the_way_out(
    given: Any, field: str, said: str
) -> None:
    # As a file: the same, with the file's name.
    with pytest.raises(CardError) as raised:
        read_card(json.dumps(given).encode())
    assert raised.value.field == field
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"card, {field}: " if field else "card: ")


BASE64 = base64.b64encode(b'{"name": "Amy"}')
BOMB = zlib.compress(bytes(65 * 2**20))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xff\xfe{\0", "it is not UTF-8 text: byte 0xff at offset 0"),
        (b"{", "it is not JSON: expecting property name enclosed in double quotes at line 1"),
        (b'{"name": "a", "name": "b"}', "the key 'name' stands twice in one object"),
        (b'{"name": NaN}', "NaN is no JSON number"),
        (b'{"name": ' + b"9" * 9999 + b"}", "digits"),
        (b'{"a":' * 99_999, "it is nested too deeply"),
        (b"PK\x03\x04...", "it is a zip archive. If it is a CHARX file, unpack it"),
        (b"\xff\xd8\xff\xe0", "it is a JPEG picture"),
        (b"RIFF....WEBP", "it is a WebP picture"),
        (picture(), "the picture holds no card"),
        (picture((b"tEXt", b"Comment\0chara")), "the picture holds no card"),
        (picture(text_chunk("chara", v1())).replace(b"chara", b"charb"), "the checksum of the chunk"),
        (picture(text_chunk("chara", v1()))[:-1], "the PNG file is cut short: it ends at byte"),
        (picture(text_chunk("chara", v1()))[:-12], "before its last one, IEND"),
        (SIGNATURE, "the PNG file is cut short"),
        (SIGNATURE + b"\xff\xff\xff\xfftEXt" + bytes(20), "the PNG file is cut short"),
        (picture((b"tEXt", b"chara\0{not base64}")), "the chunk 'chara' is not base64"),
        (picture((b"tEXt", b"ccv3\0A"), text_chunk("chara", v1())), "the chunk 'ccv3' is not base64"),
        (picture((b"tEXt", b"chara\0\xe9\xe9")), "the chunk 'chara' is not base64"),
        (picture((b"tEXt", b"chara")), "it is not JSON"),
        (picture((b"tEXt", b"chara\0" + packed(b"\xff"))), "it is not UTF-8 text"),
        (picture((b"tEXt", b"chara\0" + packed([1]))), "a card is a JSON object"),
        (picture(text_chunk("chara", v1()), text_chunk("chara", v2())), "there are two chunks 'chara'"),
        (picture((b"zTXt", b"chara\0\0" + BOMB)), "unpacks to more than 64 MiB"),
        (picture((b"zTXt", b"chara\0\0" + zlib.compress(BASE64)[:-6])), "text of the chunk 'chara' is"),
        (picture((b"zTXt", b"chara\0\0junk")), "the chunk 'chara' cannot be decompressed"),
        (picture((b"zTXt", b"chara\0\7" + zlib.compress(BASE64))), "compressed in a way that PNG does"),
        (picture((b"iTXt", b"chara\0\1")), "compressed in a way that PNG does not know"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_card_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CardError, match=re.escape(said)):
        read_card(data)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    for path, said in [
        (tmp_path / "none.png", "No such file or directory"),
        (tmp_path, "Is a directory"),
        ("a\0b", "null byte"),
    ]:
        with pytest.raises(CardError) as raised:
            read_card(path)
        assert str(raised.value).startswith(f"{path}: it cannot be read: ")
        assert said in str(raised.value)


def test_a_file_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST_FILE", 3 * 2**20)
    with pytest.raises(CardError, match="more than 3 MiB"):
        read_card("/dev/zero")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user": ""}, "card, user: it is empty"),
        ({"user": "Amy"}, "card, user: 'Amy' is the character's own name"),
        ({"user": "\ud800"}, "is the lone surrogate"),
        ({"greeting": 3}, "card, greeting: there is no greeting 3; 0 is the first message, 1 to 2"),
        ({"greeting": -1}, "card, greeting: there is no greeting -1"),
        ({"role": "user"}, "card, role: 'user' belongs to client; give a label of the model's"),
        ({"role": ""}, "card, role: it is empty"),
        ({"user_role": "assistant"}, "card, user_role: 'assistant' belongs to model"),
        ({"examples": "turn"}, "found 'turn'; give 'system', 'turns' or 'none'; did you mean"),
        ({"speakers": "Bo"}, "card, speakers: found 'Bo'; give a list of names"),
        ({"speakers": ["Bo", 1]}, "card, speakers: found ['Bo', 1]; give a list of names"),
        ({"user": None}, "card, user: found nothing; give a string"),
        ({"greeting": "1"}, "card, greeting: found a string '1'; give a number or None"),
        ({"seed": []}, "card, seed: found a list []; give a whole number or None"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], said: str) -> None:
    card = v2(first_mes="{{user}}?", alternate_greetings=["a", "b"])
    with pytest.raises(CardError, match=re.escape(said)):
        made(card, **options)


# --- Whatever comes -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
PIECES = st.sampled_from(
    [
        *(
            "{{",
            "}}",
            "{{char}}",
            "{{user}}: ",
            "{{char}}: ",
            "\n",
            "<START>",
            "Bo: ",
            "a",
            "//",
            ":",
        ),
        *("{{random:a,b}}", "@@depth 2\n", "@@activate\n", "@@@", "{{original}}", "\r", "<BOT>"),
    ]
)
RICH = st.lists(PIECES, max_size=12).map("".join)
VALUES = RICH | JSON | st.lists(RICH, max_size=3)
ENTRY = st.dictionaries(
    st.sampled_from(
        ["content", "keys", "enabled", "constant", "insertion_order", "position", "name"]
    ),
    VALUES | st.sampled_from([True, False, "before_char", 3]),
)
BOOK = st.fixed_dictionaries({"entries": st.lists(ENTRY, max_size=3) | JSON}) | JSON
DATA = st.fixed_dictionaries(
    {"name": RICH | JSON},
    optional={
        **dict.fromkeys((*FIELDS, "nickname", "alternate_greetings", "tags", "other"), VALUES),
        "extensions": st.just({}) | JSON,
        "character_book": BOOK,
    },
)
CARDS = DATA | JSON | st.builds(
    lambda spec, data, version: {"spec": spec, "data": data, "spec_version": version},
    st.sampled_from(["chara_card_v2", "chara_card_v3", "chara_card_v1"]) | JSON,
    DATA | JSON,
    st.sampled_from(["2.0", "3.0", "9"]) | JSON,
)  # fmt: skip


def try_it(given: Any, options: dict[str, Any]) -> Card | None:
    """Read a card and make its conversation; only errors of the caller's are raised."""
    try:
        card = read_card(given)
    except CardError:
        return None
    try:
        result = card.to_conversation(**options)
    except CardError:
        return card
    assert set(result.conversation.authors({})) <= set(AUTHORS)
    again = rc.Conversation.read(json.loads(json.dumps(result.conversation.to_wire())))
    assert again == result.conversation
    return card


OPTIONS = st.fixed_dictionaries(
    {
        "examples": st.sampled_from(["system", "turns", "none"]),
        "greeting": st.sampled_from([0, 1, None]),
        "role": st.sampled_from(["assistant", "writer", "chat"]),
        "user_role": st.sampled_from(["user", "chat"]),
        "seed": st.none() | st.integers(),
        "speakers": st.none() | st.lists(st.sampled_from(["Bo", "Cy"])),
    }
)


@given(value=CARDS, options=OPTIONS)
def test_any_json_is_a_card_or_an_error_of_the_caller(value: Any, options: dict[str, Any]) -> None:
    if isinstance(value, dict):
        try_it(value, options)
    try_it(json.dumps(value).encode(), options)


@given(text=RICH.map(lambda text: f"# {text}") | st.text(), options=OPTIONS)
def test_any_text_is_a_card_or_an_error_of_the_caller(text: str, options: dict[str, Any]) -> None:
    try_it(text.encode(errors="surrogatepass"), options)


@given(
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3),
    data=st.data(),
)
def test_a_damaged_picture_is_an_error_or_the_card(
    cut: int, flips: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole = picture(text_chunk("ccv3", v3(description="D")))
    damaged = bytearray(whole)
    for position, bits in flips:
        damaged[position % len(damaged)] ^= bits
    damaged = damaged[: len(damaged) - cut % len(damaged)]
    card = try_it(bytes(damaged), data.draw(OPTIONS))
    # A checksum may be hit together with nothing else, never the card's text.
    assert card is None or card == read_card(v3(description="D"))
