"""Learning: probe, draft, prove; what cannot be proved is taken out again, or all is refused."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rolecall.errors import FormatFileError, LearnError
from rolecall.learn import chats, plain, prove
from rolecall.learn.chats import Chat, Plain
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.probe import Prober
from rolecall.learn.prove import Case, Difference, compare, first_difference, stream
from rolecall.learn.table import AUTHOR, GEN, Key
from rolecall.template.tokens import control_pattern

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.template.template import Template

USUAL = {(None, "S"), (None, "U"), ("S", "U"), ("U", "A"), ("A", "U")}
"""Neighbours in a conversation of the usual order."""

ATTEMPTS = 16
"""How often a draft is narrowed before its template is refused."""
QUICK = 160
"""Conversations that a draft is tried on while it is being learnt."""
PROOF = 1500
"""Conversations of each kind that the proof takes."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A format that was learnt and proved."""

    format: Format
    """The format, as the ordinary loader reads the file."""
    toml: str
    """The text of its file."""
    claims: dict[str, int]
    """Kind of conversation to how many of it were compared after learning, all alike."""
    unclaimed: dict[str, str]
    """Kind of conversation that is not claimed, and why."""
    domain: tuple[str, ...]
    """What the claims leave out, one sentence each."""
    seed: int
    """The seed of the conversations that it was proved on."""
    probes: int
    """How many conversations the template was tried on in all."""


@dataclass(slots=True)
class Learning:
    """One template on its way to a format file."""

    prober: Prober
    name: str
    domain: Plain = field(default_factory=Plain)
    dropped: set[Key] = field(default_factory=set[Key])
    """Neighbours that were found not to be written as the table says."""
    without_system: bool = False
    never_alone: bool = False
    """Whether a system message cannot be all there is."""
    notes: list[str] = field(default_factory=list[str])

    # Plain conversations.

    def plain(self) -> Draft:
        """The draft of plain conversations, narrowed until random ones come out right.

        Raises:
            LearnError: If there is none.
        """
        prober = self.prober
        strings, lengths = chats.constants(prober.template.jinja)
        self.domain.constants, self.domain.lengths = strings, lengths
        try:
            first = plain.read(prober)
        except Inexpressible as error:
            raise self.refused(str(error)) from None
        tested = False
        for attempt in range(ATTEMPTS):
            draft, fmt = self._draft(first)
            prober.step = "trying the draft"
            if not tested:
                self._exclude(fmt)
                tested = True
            found = self._difference(fmt, f"learning {attempt}", QUICK)
            if found is None:
                return draft
            self._narrow(fmt, found)
            if os.environ.get("LEARN_DEBUG"):
                print(attempt, found.case.letters, found.case.prompt, self.dropped, self.domain, file=sys.stderr)
        raise self.refused("it was narrowed too often")

    def _draft(self, first: plain.Reading) -> tuple[Draft, Format]:
        """A draft of what was read, without what was found wrong since."""
        found = replace(first, notes=[*first.notes], pairs=dict(first.pairs))
        found.table = replace(
            first.table, gaps=dict(first.table.gaps), last=dict(first.table.last)
        )
        for key in self.dropped:
            found.pairs[key] = False
            found.table.gaps.pop(key, None)
            found.table.last.pop(key, None)
        found.alone = found.alone and not self.never_alone
        if self.without_system:
            found.place = "none"
            for kept in (found.table.gaps, found.table.last):
                for key in [key for key in kept if "S" in key]:
                    del kept[key]
        self.domain.letters = "UA" if found.place in ("none", "refuse") else "SUA"
        draft = Draft()
        try:
            made = plain.fit(found, control_pattern(self.prober.template.control))
            self.domain.prompts = frozenset(
                key.before for key in found.table.gaps if key.behind == GEN and key.before
            )
            plain.write(self.prober, found, made, draft)
            plain.name_control(self.prober, draft)
            for letter in self.domain.full:
                if draft.has("turn", AUTHOR[letter]):
                    draft.turn(AUTHOR[letter])["empty"] = False
            draft.known["reading"] = found
            return draft, draft.format(self.name)
        except Inexpressible as error:
            raise self.refused(str(error)) from None
        except FormatFileError as error:
            raise self.refused(f"a format file cannot say it: {error}") from None

    def _cases(self) -> Iterator[tuple[Callable[[random.Random], Case], bool]]:
        """The makers of conversations, and whether the format must write what they make."""
        yield (lambda rng: chats.usual(rng, self.domain)), True
        everyone = replace(self.domain, letters="SUA")
        yield (lambda rng: chats.unusual(rng, everyone)), False

    def _difference(self, fmt: Format, seed: str, count: int) -> Difference | None:
        for number, (make, whole) in enumerate(self._cases()):
            cases = stream(make, f"{seed}, {number}")
            found = first_difference(self.prober, fmt, cases, count, whole=whole)
            if found is not None:
                return found
        return None

    def _fails(self, fmt: Format, chat: Chat) -> bool:
        if not self.domain.holds(chat):
            return False
        whole = self._is_usual(chat)
        return compare(self.prober, fmt, chat, whole=whole) is not None

    def _is_usual(self, chat: Chat) -> bool:
        pairs = zip([None, *chat.letters], chat.letters, strict=False)
        usual = all(pair in USUAL for pair in pairs) and chat.letters != "S"
        return usual and set(chat.letters) <= set(self.domain.letters)

    def _exclude(self, fmt: Format) -> None:
        """Find the strings of the template that it treats in a way of its own in contents."""
        for letter, letters in (("S", "SUAU"), ("U", "UAU"), ("A", "UAUAU")):
            if letter not in self.domain.letters:
                continue
            places = [at for at, other in enumerate(letters) if other == letter]
            for constant in self.domain.constants:
                if len(constant.strip()) < 2:
                    continue
                for form in ("w {} w", "{}", "{} w", "w {}"):
                    for at in (places[0], places[-1]):
                        contents = ["word"] * len(letters)
                        contents[at] = form.format(constant) if "{" not in constant else constant
                        for until in {at + 1, len(letters)}:
                            self._excludes(
                                fmt, Chat(letters[:until], tuple(contents[:until]), False), at
                            , constant)

    def _excludes(self, fmt: Format, chat: Chat, at: int, constant: str) -> None:
        letter = chat.letters[at]
        held = self.domain.excluded.get(letter, ())
        if constant in held or any(other in constant for other in held):
            return
        bare = Chat(chat.letters, tuple("word" for _ in chat.contents), False)
        if self._fails(fmt, chat) and not self._fails(fmt, bare):
            self.domain.excluded[letter] = (*held, constant)

    def _narrow(self, fmt: Format, found: Difference) -> None:
        """Take out of the draft or its domain what a conversation shows to be wrong.

        Raises:
            LearnError: If that leaves nothing.
        """
        chat = chats.shrunk(found.case, lambda one: self._fails(fmt, one))
        bare = Chat(chat.letters, tuple(chats.WORD for _ in chat.letters), chat.prompt)
        if not self._fails(fmt, bare):
            self._narrow_contents(fmt, chat)
            return
        pairs = list(zip([None, *chat.letters], chat.letters, strict=False))
        odd = [Key(*pair) for pair in pairs if pair not in USUAL]
        odd = [key for key in odd if key not in self.dropped]
        last = chat.letters[-1:]
        if chat.letters == "S" and not self.never_alone:
            self.never_alone = True
        elif chat.prompt and last != "U" and last in self.domain.prompts:
            self.dropped.add(Key(last, GEN))
        elif odd:
            self.dropped |= set(odd)
        elif "S" in chat.letters and not self.without_system:
            self.without_system = True
            self.notes.append("system messages are refused: " + self._shown(fmt, chat))
        else:
            raise self.shown(fmt, chat, "no table of turns comes out as it does")

    def _narrow_contents(self, fmt: Format, chat: Chat) -> None:
        domain = self.domain
        for at, content in enumerate(chat.contents):
            letter = chat.letters[at]
            mended = (*chat.contents[:at], chats.WORD, *chat.contents[at + 1 :])
            if self._fails(fmt, replace(chat, contents=mended)):
                continue
            if content == "" and letter not in domain.full:
                domain.full |= {letter}
                return
            if not content.strip() and letter in domain.blank:
                domain.blank -= {letter}
                return
            held = domain.excluded.get(letter, ())
            for constant in domain.constants:
                if constant in content and len(constant.strip()) > 1 and constant not in held:
                    domain.excluded[letter] = (*held, constant)
                    return
            stripped = (*chat.contents[:at], content.strip(), *chat.contents[at + 1 :])
            if letter in domain.ends and not self._fails(fmt, replace(chat, contents=stripped)):
                domain.ends -= {letter}
                return
        raise self.shown(fmt, chat, "no filter makes of contents what it does")

    # What is said of it.

    def refused(self, why: str) -> LearnError:
        """The error that says why there is no format file."""
        return LearnError(f"{self.prober.template.name}: it cannot be learnt: {why}")

    def shown(self, fmt: Format, case: Case, why: str) -> LearnError:
        """The same, with the conversation that shows it."""
        expected, found = self._outcomes(fmt, case)
        return LearnError(
            f"{self.prober.template.name}: it cannot be learnt: {why}; of {case.messages} "
            f"with {dict(case.arguments)} it makes {expected}, the best format file {found}",
            conversation={"messages": case.messages, **case.arguments},
            expected=str(expected),
            found=str(found),
        )

    def _outcomes(self, fmt: Format, case: Case) -> tuple[prove.Outcome, prove.Outcome]:
        return prove.of_template(self.prober, case), prove.of_format(fmt, case)

    def _shown(self, fmt: Format, case: Case) -> str:
        expected, found = self._outcomes(fmt, case)
        return f"of {case.messages} the template makes {expected}, the best file {found}"


def learn(
    template: Template,
    *,
    progress: Callable[[str, int], None] | None = None,
    seed: int | None = None,
) -> Learnt:
    """Learn a format from a template; see `rolecall.learn`."""
    prober = Prober(template, progress=progress)
    learning = Learning(prober, "learnt")
    draft = learning.plain()
    fmt = draft.format("learnt")
    prober.step = "the proof"
    seed = random.SystemRandom().randrange(10**9) if seed is None else seed
    found = learning._difference(fmt, f"proof {seed}", PROOF)
    if found is not None:
        raise learning.shown(fmt, found.case, "the proof failed")
    back = 0
    cases = stream(lambda rng: _benign(rng, learning.domain), f"back {seed}")
    for _ in range(100):
        c = next(cases)
        why = prove.reads_back(fmt, c)
        if why:
            back = why
            break
    claims: dict[str, Any] = {"place": draft.known["reading"].place, "full": learning.domain.full, "blank": set("SUA") - learning.domain.blank, "ends": set("SUA") - learning.domain.ends, "excl": learning.domain.excluded, "dropped": [tuple(k) for k in learning.dropped], "prompts": "".join(learning.domain.prompts), "back": back}
    return Learnt(fmt, draft.toml(), {k: v for k, v in claims.items() if v}, {"n": learning.notes} if learning.notes else {}, (), seed, prober.count)


def _benign(rng, domain):
    letters = ("UA" * 4)[: rng.randrange(1, 6)]
    if "S" in domain.letters and rng.random() < 0.5:
        letters = "S" + letters
    return Chat(letters, tuple("word%d" % rng.randrange(99) for _ in letters), False)
