"""The machinery of the benchmarks: their texts, their figures, their check. No times are measured."""

import json
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import rolecall as rc
from benchmarks import check, page
from benchmarks.contender import Contender
from benchmarks.corpus import Corpus, Vocabulary, emoji
from benchmarks.limit import contents
from benchmarks.loads import FEWEST, Load, few, message_count, text_bytes
from benchmarks.memory import Splicer
from benchmarks.models import MODELS, with_objects
from benchmarks.profile import kind_of, shares
from benchmarks.results import Results, read_results
from benchmarks.row import Row
from benchmarks.targets import TARGETS, Outcome, by_case, outcomes
from benchmarks.texts import SHAPES, Texts
from benchmarks.worker import Process

LINES = [f"def name{number}(value_one, other_{number}):  # line {number}" for number in range(400)]


@pytest.fixture
def corpus() -> Corpus:
    """A corpus that needs no word lists: a thousand words, the first the most frequent."""
    made = random.Random(0)
    words = sorted({"".join(made.choices("abcdefghij", k=6)) for _ in range(1000)})
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    chinese = Vocabulary([chr(0x4E00 + number) * 2 for number in range(500)], [1.0] * 500)
    arabic = Vocabulary([chr(0x627 + number % 30) * 3 for number in range(30)], [1.0] * 30)
    return Corpus(Vocabulary(words, weights), chinese, arabic, emoji(), [LINES])


# --- Texts ----------------------------------------------------------------------------------------


def test_words_come_as_often_as_their_weights_say() -> None:
    vocabulary = Vocabulary(["a", "b", "c"], [6, 3, 1])
    vocabulary.seed(1)
    counts = Counter(vocabulary.draw(10_000))
    shares = [counts[word] / 10_000 for word in "abc"]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.02)


def test_no_text_comes_twice_and_a_seed_gives_the_same_texts(corpus: Corpus) -> None:
    texts = Texts(1, corpus)
    made = [texts.text(30) for _ in range(300)]
    assert len(set(made)) == len(made)
    again = Texts(1, corpus)
    assert [again.text(30) for _ in range(300)] == made
    other = Texts(2, corpus)
    assert not {*made} & {other.text(30) for _ in range(300)}


def test_lengths_have_the_average_that_is_asked_for_and_differ(corpus: Corpus) -> None:
    texts = Texts(1, corpus)
    for average in (15, 60, 200):
        lengths = [texts.length(average) for _ in range(4000)]
        assert statistics.mean(lengths) == pytest.approx(average, rel=0.05)
        assert statistics.stdev(lengths) > average / 3
    words = [len(texts.prose(texts.length(60)).split()) for _ in range(400)]
    assert statistics.mean(words) == pytest.approx(60, rel=0.1)


def test_every_kind_of_text_occurs(corpus: Corpus) -> None:
    texts = Texts(1, corpus)
    made = [texts.text(20) for _ in range(400)]
    assert 0.05 < sum("```" in text for text in made) / 400 < 0.3
    for first, last in (("\u4e00", "\u9fff"), ("\u0620", "\u06ff"), ("\U0001f300", "\U0001faff")):
        share = sum(any(first <= char <= last for char in text) for text in made) / 400
        assert 0.03 < share < 0.3


def test_shapes_are_what_they_are_called_and_vary(corpus: Corpus) -> None:
    texts = Texts(1, corpus)
    short, long, agent = ([texts.conversation(shape, 15) for _ in range(60)] for shape in SHAPES)
    assert {len(one["messages"]) for one in short} == {*range(2, 9)}
    lengths = [len(one["messages"]) for one in long]
    assert statistics.mean(lengths) == pytest.approx(80, abs=4)
    assert len(set(lengths)) > 10
    calls = Counter(
        len(message["tool_calls"])
        for one in agent
        for message in one["messages"]
        if "tool_calls" in message
    )
    assert {*calls} == {1, 2, 3}
    assert len({json.dumps(one["tools"]) for one in agent}) == 60
    for one in agent:
        asked = [call["id"] for m in one["messages"] for call in m.get("tool_calls", ())]
        given = [m["tool_call_id"] for m in one["messages"] if m["role"] == "tool"]
        assert asked == given
        assert one["messages"][-1]["role"] == "assistant"


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_model_takes_its_conversations_without_a_loss(model: Any, corpus: Corpus) -> None:
    texts = Texts(1, corpus)
    fmt = rc.format(model.format)
    for shape in SHAPES:
        for _ in range(8):
            given = model.suited(texts.conversation(shape, 15))
            assert fmt.render(**given, strict=True).text


def test_the_limit_is_given_every_text_of_the_callers(corpus: Corpus) -> None:
    given = Texts(1, corpus).conversation("agent", 15)
    texts = contents([given])
    said = [one["content"] for one in given["messages"] if one["content"]]
    calls = [call for one in given["messages"] for call in one.get("tool_calls", ())]
    assert len(texts) == len(given["tools"]) + len(said) + 2 * len(calls)
    assert {*said} <= {*texts}
    assert [json.loads(text) for text in texts[: len(given["tools"])]] == given["tools"]


def test_objects_are_the_same_arguments(corpus: Corpus) -> None:
    given = Texts(1, corpus).conversation("agent", 15)
    (made,) = with_objects([given])
    before = [call["function"] for one in given["messages"] for call in one.get("tool_calls", ())]
    after = [call["function"] for one in made["messages"] for call in one.get("tool_calls", ())]
    assert [json.loads(call["arguments"]) for call in before] == [
        call["arguments"] for call in after
    ]


def test_the_few_are_the_first_and_enough() -> None:
    conversations = [{"messages": [{"content": "x" * 10_000}]} for _ in range(20)]
    assert few(conversations) == conversations[:6]
    large = [{"messages": [{"content": "x" * 1_000_000}]} for _ in range(20)]
    assert few(large) == large[:FEWEST]


def test_spliced_conversations_go_on_until_there_are_enough(corpus: Corpus) -> None:
    texts = Texts(1, corpus)
    splicer = Splicer([texts.conversation(shape, 60) for shape in SHAPES], seed=1)
    made = list(splicer.up_to(200_000))
    size = sum(map(text_bytes, made))
    assert size == splicer.bytes
    assert 200_000 <= size < 260_000
    said = [m["content"] for one in made for m in one["messages"] if m.get("content")]
    assert len(set(said)) == len(said)


# --- Measuring ------------------------------------------------------------------------------------


def contender(key: str, **given: Any) -> Contender:
    def run(conversations: Any) -> Any:
        return [[len(one["messages"])] for one in conversations]

    return Contender(**{"key": key, "call": key, "returns": "", "run": run, "ids": list, **given})


class Fixed(Load):
    """A load whose rounds are told apart and need no corpus."""

    def conversations(self, number: int) -> list[dict[str, Any]]:
        message = {"role": "user", "content": f"{number}" + "x" * 20_000}
        return [{"messages": [message] * (turn + 1)} for turn in range(8)]


def test_everybody_gets_the_same_texts_in_an_order_that_rotates() -> None:
    seen: list[tuple[str, Any]] = []

    def noted(key: str, **given: Any) -> Contender:
        def run(conversations: Any) -> Any:
            seen.append((key, conversations))
            return [[1]] * len(conversations)

        return contender(key, run=run, **given)

    found = [noted("encode", slow=True), noted("peer", slow=True), noted("encode_batch")]
    process = Process(MODELS["qwen3"], found, [Fixed("short", 15)], cores=1)
    for number in range(4):
        process.round(number, process.loads[0], counts=number > 0)
    rounds = [seen[start : start + 3] for start in range(0, 12, 3)]
    assert [one[0][0] for one in rounds] == ["encode", "peer", "encode_batch", "encode"]
    texts: set[str] = set()
    for one in rounds:
        given = dict(one)
        assert given["encode"] == given["peer"]
        # Many and few are other conversations, so that they can share an engine.
        assert given["encode"] + given["encode_batch"] == Fixed("short", 15).conversations(
            len(texts)
        )
        texts.add(given["encode"][0]["messages"][0]["content"])
    assert len(texts) == 4
    rows = {row.contender: row for row in process.rows()}
    assert rows["encode"].rounds == 3  # the first one does not count
    assert len(rows["peer"].facts["each"]) == 3
    assert rows["encode"].facts["messages"] == message_count(rounds[0][0][1])


def test_ids_that_differ_are_counted_and_a_contender_that_fails_is_told_of() -> None:
    def half(conversations: Any) -> Any:
        return [[len(one["messages"]) // 2] for one in conversations]

    def refuse(conversations: Any) -> Any:
        raise ValueError("no such role")

    found = [
        contender("encode", slow=True),
        contender("same", slow=True),
        contender("half", slow=True, run=half),
        contender("refuses", slow=True, run=refuse),
    ]
    process = Process(MODELS["qwen3"], found, [Fixed("short", 15)], cores=1)
    for number in range(2):
        process.round(number, process.loads[0], counts=number > 0)
    rows = {row.contender: row.facts.get("same_ids") for row in process.rows()}
    assert rows == {"encode": 100.0, "same": 100.0, "half": 0.0}
    assert process.failed == {(process.loads[0], "refuses"): "ValueError: no such role"}


def test_one_set_of_tools_for_a_list_is_not_measured_where_each_has_its_own() -> None:
    found = [contender("encode", slow=True), contender("listed", slow=True, tools=False)]
    process = Process(MODELS["qwen3"], found, [], cores=1)
    assert [one.key for one in process.taking(Load("agent", 15))] == ["encode"]
    assert len(process.taking(Load("short", 15))) == 2
    process = Process(MODELS["gemma-3"], found, [], cores=1)
    assert len(process.taking(Load("agent", 15))) == 2


# --- Figures --------------------------------------------------------------------------------------


def row(key: str, *each: float, words: int = 60, shape: str = "short", cores: int = 1) -> Row:
    return Row(
        what="throughput",
        contender=key,
        median=statistics.median(each),
        rounds=len(each),
        tokenizer="qwen3",
        shape=shape,
        words=words,
        cores=cores,
        facts={"each": list(each), "messages": 10},
    )


def found(rows: list[Row]) -> dict[str, Outcome]:
    return {one.target.key: one for one in outcomes(rows)}


def test_the_worst_case_is_what_counts_and_the_faster_engine_is_the_limit() -> None:
    rows = [
        row("limit_fastokens", 10e-6),
        row("limit_gigatoken", 5e-6),
        row("encode_batch", 9e-6),
        row("limit_fastokens", 4e-6, shape="long"),
        row("limit_gigatoken", 8e-6, shape="long"),
        row("encode_batch", 12e-6, shape="long"),
    ]
    outcome = found(rows)["batch-60"]
    assert outcome.figures == {
        "qwen3, short, 60 words": pytest.approx(1.8),
        "qwen3, long, 60 words": pytest.approx(3.0),
    }
    assert outcome.worst == ("qwen3, long, 60 words", pytest.approx(3.0))
    assert not outcome.holds
    assert "batch-15" not in found(rows)


def test_short_messages_are_held_to_a_time_above_the_engine() -> None:
    rows = [row("limit_fastokens", 3e-6, words=15), row("encode_batch", 6e-6, words=15)]
    outcome = found(rows)["batch-15"]
    assert outcome.worst[1] == pytest.approx(3.0)
    assert outcome.holds


def test_ratios_are_of_the_same_round() -> None:
    # The machine was slow in the second round: for both.
    rows = [row("renderers", 100.0, 900.0, 110.0), row("encode_batch_few", 2.0, 18.0, 2.0)]
    assert found(rows)["batch-renderers"].worst[1] == 50.0
    assert found(rows)["batch-renderers"].holds


def test_the_faster_way_to_call_a_peer_is_the_one() -> None:
    rows = [
        row("transformers_mask", 90.0),
        row("transformers_mask_list", 60.0),
        row("encode_batch_few", 2.0),
    ]
    assert found(rows)["batch-mask"].worst[1] == 30.0
    assert not found(rows)["batch-mask"].holds


def test_measured_figures_are_kept_apart_by_format() -> None:
    rows = [
        Row(what="extend", contender="e", median=1.0, rounds=5, tokenizer="t", ratio=1.1,
            facts={"format": "one"}),
        Row(what="extend", contender="e", median=1.0, rounds=5, tokenizer="t", ratio=1.4,
            facts={"format": "two"}),
    ]  # fmt: skip
    outcome = found(rows)["extend"]
    assert outcome.figures == {"t: e, one": 1.1, "t: e, two": 1.4}
    assert not outcome.holds


def test_every_line_of_the_issue_has_a_target() -> None:
    assert [one.key for one in TARGETS] == [
        "batch-60", "batch-15", "batch-renderers", "batch-mask", "one-renderers",
        "one-transformers", "one-mistral", "extend", "stream", "traced", "learnt", "memory",
        "memory-flat", "import", "cli", "cli-tokenizer",
    ]  # fmt: skip


# --- The check ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "worse"), [(60.0, 41.0, False), (60.0, 39.9, True), (60.0, 90.0, False)]
)
def test_a_figure_that_fell_by_a_third_is_found(before: float, now: float, worse: bool) -> None:
    recorded = [row("renderers", before), row("encode_batch_few", 1.0)]
    measured = [row("renderers", now), row("encode_batch_few", 1.0)]
    assert [one.where for one in check.falls(recorded, measured)] == (
        ["qwen3, short, 60 words"] if worse else []
    )


@pytest.mark.parametrize(("now", "worse"), [(2.9, False), (3.1, True), (1.0, False)])
def test_a_time_that_grew_by_a_half_is_found(now: float, worse: bool) -> None:
    recorded = [row("limit_fastokens", 1.0), row("encode_batch", 2.0)]
    measured = [row("limit_fastokens", 1.0), row("encode_batch", now)]
    assert bool(check.falls(recorded, measured)) is worse


def test_small_times_may_differ_by_a_little_more() -> None:
    target = next(one for one in TARGETS if one.key == "batch-15")
    assert not check.fell(target, before=0.5, now=1.5)
    assert check.fell(target, before=3.0, now=5.6)


def test_only_what_both_measured_is_compared() -> None:
    recorded = [row("renderers", 60.0), row("encode_batch_few", 1.0)]
    measured = [row("renderers", 1.0, shape="long"), row("encode_batch_few", 1.0, shape="long")]
    assert check.falls(recorded, measured) == []


def test_what_fell_once_is_forgiven() -> None:
    recorded = [row("renderers", 60.0), row("encode_batch_few", 1.0)]
    slow = [row("renderers", 30.0), row("encode_batch_few", 1.0)]
    fell = check.falls(recorded, slow)
    assert check.twice(fell, []) == []
    assert check.twice([], fell) == []
    assert check.twice(fell, fell) == fell


@pytest.mark.parametrize(("processor", "status"), [("this one", 1), ("another", 0)])
def test_the_check_fails_on_the_same_kind_of_machine_alone(
    processor: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded = [row("renderers", 60.0), row("encode_batch_few", 1.0)]
    file = tmp_path / "results.json"
    Results(recorded, machine={"processor": processor, "cores": 2}).write(file)
    measured = [row("renderers", 30.0), row("encode_batch_few", 1.0)]
    monkeypatch.setattr(check, "machine", lambda: {"processor": "this one", "cores": 2})
    monkeypatch.setattr(check, "measure", lambda *_: measured)
    monkeypatch.setattr("sys.argv", ["check", "--against", str(file)])
    assert check.main() == status
    assert "fell: batch-renderers, qwen3, short, 60 words: 30.00" in capsys.readouterr().out
    monkeypatch.setattr(check, "measure", lambda *_: recorded)
    assert check.main() == 0


# --- The page -------------------------------------------------------------------------------------


def test_the_page_shows_what_was_measured() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(text, read_results()) == text, "run `python -m benchmarks.page`"


def test_a_page_that_says_something_else_is_found() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    results = read_results()
    changed = [
        one if one.contender != "encode_batch" else Row(**{**vars(one), "median": 3 * one.median})
        for one in results.rows
    ]
    other = Results(changed, results.calls, results.missing, results.machine)
    assert page.filled(text, other) != text
    assert page.filled(page.filled(text, other), results) == text


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = read_results()
    results.write(tmp_path / "again.json")
    assert read_results(tmp_path / "again.json") == results
    assert by_case(results.rows)


def test_figures_have_three_digits() -> None:
    shown = [page.figure(one) for one in (0.123456, 1.234, 12.34, -123.4, 12_345.0)]
    assert shown == ["0.12", "1.23", "12.3", "-123", "12,340"]


# --- The profile ----------------------------------------------------------------------------------


def test_time_is_shared_out_by_where_it_was_spent() -> None:
    seconds: Counter[Any] = Counter()
    seconds["tokenizers/fast.py", "encode"] = 6
    seconds["bulk/assemble.py", "assemble"] = 2
    seconds["plan.py", "walk"] = 2
    seconds["", ""] = 90
    assert shares(seconds) == {"engine": 0.6, "arrays": 0.2, "the ordinary way": 0.2}
    assert kind_of(("mask.py", "mask")) == "masks"
