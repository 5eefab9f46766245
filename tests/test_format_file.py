"""A format file with an unknown key or an impossible rule is an error with its line."""

import inspect
from pathlib import Path

import pytest

import rolecall as rc
from rolecall.schema import TAKEN

GOOD = """\
title = "Test"
control = ["<a>", "</a>"]

[turn]
open = "<a>{role}\\n"
end = "</a>"
"""

BAD: list[tuple[str, str, str]] = [
    (
        'title = "Test"',
        'titel = "Test"',
        "bad.toml, line 1: unknown key 'titel' in the file; did you mean 'title'? (known: ",
    ),
    (
        'open = "<a>{role}\\n"',
        'open = "<a>{rolle}\\n"',
        "bad.toml, line 5: turn.open: unknown slot in '{rolle}'; slots here: ",
    ),
    (
        'open = "<a>{role}\\n"',
        'open = "<a>{role|shout}\\n"',
        "bad.toml, line 5: turn.open: unknown filter in '{role|shout}'; filters: ",
    ),
    (
        'open = "<a>{role}\\n"',
        'open = "<a>{name?{name}\\n"',
        "bad.toml, line 5: turn.open: a group is not closed in ",
    ),
    (
        'open = "<a>{role}\\n"',
        'open = "<a>{role}"',
        "bad.toml, line 5: {role} in a header must be followed by literal text, or at its end by a control token, else nobody can tell where it ends",
    ),
    ('end = "</a>"', "end = 3", "bad.toml, line 6: turn.end must be a string, found 3"),
    (
        'end = "</a>"',
        'merge = "x"\ngroup = "y"',
        "bad.toml, line 6: merge and group exclude each other",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\nbody = "{tools}{content}"',
        "bad.toml, line 4: {tools} stands in a pattern but there is no [tools] table",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\n[options.strict]\ndefault = true',
        "bad.toml, line 7: 'strict' cannot be the name of an option: render and parse take an ",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\n[system]\nplace = "middle"',
        "bad.toml, line 8: system.place: unknown strategy 'middle' (known: ",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\n[system]\nplace = "first-client"',
        "bad.toml, line 8: a system prompt that goes to a client turn needs either `fold` or the slot {system} in the client's patterns",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\n[calls]\neach = "{call_name}"',
        "bad.toml, line 7: [calls] is given but no body has the slot {calls}",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\n[role.user]\nauthor = "model"',
        "bad.toml, line 7: the role 'user' belongs to client",
    ),
    (
        'end = "</a>"',
        'end = "</a>"\n[order.after]\nclient = ["robot"]',
        "bad.toml, line 8: order.after maps an author to a list of authors (owner, client, model, tool)",
    ),
    ("[turn]", "[turn", "bad.toml, line 4: it is not TOML: "),
]


def write(folder: Path, text: str) -> Path:
    path = folder / "bad.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("old", "new", "message"), BAD)
def test_a_bad_format_file_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(rc.InputError) as raised:
        rc.format(str(path))
    assert str(raised.value).startswith(message)


def test_a_good_format_file_is_loaded_from_its_path(tmp_path: Path) -> None:
    fmt = rc.format(str(write(tmp_path, GOOD)))
    assert fmt.render([{"role": "user", "content": "x"}]).text == "<a>user\nx</a>"


def test_a_format_without_turns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(rc.InputError, match=r"there is no \[turn\] table"):
        rc.format(str(write(tmp_path, 'title = "x"\n')))


def test_an_unknown_format_names_the_nearest_one() -> None:
    with pytest.raises(rc.InputError) as raised:
        rc.format("chat-ml")
    assert str(raised.value) == (
        "no bundled format is called 'chat-ml'; did you mean 'chatml'?; 'rolecall formats' lists "
        "them, and a path to a .toml file works too"
    )


def test_an_option_that_a_format_does_not_take_is_refused() -> None:
    with pytest.raises(rc.InputError) as raised:
        rc.format("qwen3").render([{"role": "user", "content": "x"}], enable_thinkin=False)
    assert "qwen3 takes no option 'enable_thinkin'; did you mean 'enable_thinking'?" in str(
        raised.value
    )


def test_no_option_may_be_called_as_an_argument_is() -> None:
    for method in (rc.Format.render, rc.Format.canonical, rc.Format.parse, rc.Format.encode_iter):
        own = inspect.signature(method).parameters.values()
        assert {one.name for one in own if one.kind is not one.VAR_KEYWORD} <= TAKEN


def test_an_option_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(rc.InputError) as raised:
        rc.format("qwen3").render([{"role": "user", "content": "x"}], enable_thinking="no")
    assert "option enable_thinking: found 'no'; it must be a bool" in str(raised.value)


def test_one_literal_changed_in_a_file_changes_text_and_stop_together(tmp_path: Path) -> None:
    other = GOOD.replace("</a>", "<z>")
    (tmp_path / "other.toml").write_text(other, encoding="utf-8")
    message = [{"role": "user", "content": "x"}]
    first, second = rc.format(str(write(tmp_path, GOOD))), rc.format(str(tmp_path / "other.toml"))
    assert first.render(message).text.replace("</a>", "<z>") == second.render(message).text
    assert (first.render(message).stop, second.render(message).stop) == (("</a>",), ("<z>",))


def test_load_takes_bundled_names_format_files_and_templates(tmp_path: Path) -> None:
    assert rc.load("chatml") is rc.format("chatml")
    made = rc.load(write(tmp_path, GOOD))
    assert isinstance(made, rc.Format)
    assert made.title == "Test"
    with pytest.raises(rc.InputError, match="template"):
        rc.load(tmp_path)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        with pytest.raises(rc.InputError):
            rc.load(tmp_path / name)
    jinja = "{% for m in messages %}<a>{{ m.content }}</a>{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(jinja, encoding="utf-8")
    for source in (tmp_path, tmp_path / "chat_template.jinja", str(tmp_path)):
        loaded = rc.load(source)
        assert loaded.render([{"role": "user", "content": "x"}]).text == "<a>x</a>"
