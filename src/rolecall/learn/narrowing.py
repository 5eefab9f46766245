"""A draft of plain conversations, narrowed until random ones come out as the template has them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rolecall.errors import FormatFileError, LearnError
from rolecall.learn import chats, plain, prove
from rolecall.learn.chats import Chat, Plain
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.fitting import fit
from rolecall.learn.probe import Prober
from rolecall.learn.prove import Case, Difference, compare, first_difference, stream
from rolecall.learn.reading import Reading, read
from rolecall.learn.table import AUTHOR, GEN, USUAL, Key
from rolecall.template.tokens import control_pattern

if TYPE_CHECKING:
    from rolecall.format import Format


ATTEMPTS = 16
"""How often a draft is narrowed before its template is refused."""
QUICK = 120
"""Conversations that a draft is tried on while it is being learnt."""
ODDEST = tuple(
    Key(*pair)
    for pair in (
        (None, "A"), ("S", "A"), ("A", "A"), ("U", "S"), ("S", "S"), ("A", "S"), ("U", "U")
    )
)  # fmt: skip
"""Neighbours beyond the usual order, those first that are given up first."""
READ = 120
"""Conversations that are read back."""


@dataclass(slots=True)
class Learning:
    """One template on its way to a format file."""

    prober: Prober
    domain: Plain = field(default_factory=Plain)
    dropped: set[Key] = field(default_factory=set[Key])
    """Neighbours that were found not to be written as the table says."""
    without_system: bool = False
    never_alone: bool = False
    """Whether a system message cannot be all there is."""
    unclaimed: dict[str, str] = field(default_factory=dict[str, str])
    tested: bool = False
    """Whether the strings of the template were tried as contents."""

    # Plain conversations.

    def read(self) -> Reading:
        """What the probes say.

        Raises:
            LearnError: If it is nothing that a table of turns can say.
        """
        found = chats.constants(self.prober.template.jinja)
        self.domain.constants, self.domain.lengths, self.domain.sizes = found
        try:
            return read(self.prober)
        except Inexpressible as error:
            raise self.refused(str(error), error.letters) from None

    def plain(self, first: Reading) -> Draft:
        """The draft of plain conversations, narrowed until random ones come out right.

        Raises:
            LearnError: If there is none.
        """
        for attempt in range(ATTEMPTS):
            draft = self._draft(first)
            fmt = draft.format()
            self.prober.step = "trying the draft"
            if not self.tested:
                self._exclude(fmt)
                self.tested = True
            found = self.difference(fmt, f"learning {attempt}", QUICK)
            if found is None:
                return draft
            self.narrow(fmt, found)
        raise self.refused("it was narrowed too often")

    def readable(self, first: Reading, draft: Draft, seed: int) -> Draft:
        """The draft, or a narrower one, whose texts are read back."""
        why = self._unread(draft, seed)
        if why is None:
            return draft
        reading: Reading = draft.known["reading"]
        odd = {key for key, kept in reading.pairs.items() if kept and key not in USUAL}
        before = set(self.dropped)
        self.dropped |= odd
        try:
            narrower = self.plain(first)
            if self._unread(narrower, seed) is None:
                return narrower
        except LearnError:
            pass
        self.dropped = before
        self.unclaimed["parse"] = why
        return draft

    def _unread(self, draft: Draft, seed: int) -> str | None:
        """What is wrong with what is read back from plain texts."""
        self.prober.step = "reading back"
        fmt = draft.format()
        cases = stream(lambda rng: chats.benign(rng, self.domain), f"{seed}, read")
        for _, case in zip(range(READ), cases, strict=False):
            why = prove.reads_back(fmt, case)
            if why is not None:
                return why
        return None

    def _draft(self, first: Reading) -> Draft:
        """A draft of what was read, without what was found wrong since."""
        found = replace(first, notes=[*first.notes], pairs=dict(first.pairs))
        found.table = first.table.copy()
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
            made = fit(found, control_pattern(self.prober.template.control))
            self.domain.prompts = frozenset(
                key.before for key in found.table.gaps if key.behind == GEN and key.before
            )
            plain.write(self.prober, found, made, draft)
            plain.name_control(self.prober, draft)
            for letter in self.domain.full:
                if draft.has("turn", AUTHOR[letter]):
                    draft.turn(AUTHOR[letter])["empty"] = False
            draft.known["reading"] = found
            draft.known["plain"] = self.domain
            draft.known["excluded"] = {AUTHOR[k]: v for k, v in self.domain.excluded.items()}
            draft.format()
            return draft
        except Inexpressible as error:
            raise self.refused(str(error), error.letters) from None
        except FormatFileError as error:
            raise self.refused(f"a format file cannot say it: {error}") from None

    def _cases(self) -> Iterator[tuple[Callable[[random.Random], Case], bool]]:
        """The makers of conversations, and whether the format must write what they make."""
        yield (lambda rng: chats.usual(rng, self.domain)), True
        everyone = replace(self.domain, letters="SUA")
        yield (lambda rng: chats.unusual(rng, everyone)), False

    def difference(self, fmt: Format, seed: str, count: int) -> Difference | None:
        """The first of so many plain conversations, twice, that the two write otherwise."""
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
        strings = [one for one in self.domain.constants if len(one.strip()) > 1]
        for letter, letters in (("S", "SUAU"), ("U", "UAUAU"), ("A", "UAUAU")):
            if letter not in self.domain.letters:
                continue
            at = letters.rindex(letter)
            for until in sorted({at + 1, len(letters)}):
                asked = letters[:until]
                if self._fails(fmt, _holding(asked, at, chats.WORD)):
                    continue
                self._exclude_within(fmt, asked, at, strings)
                for constant in strings:
                    for form in _around(constant):
                        self._excludes(fmt, _holding(asked, at, form), at, constant)

    def _exclude_within(self, fmt: Format, letters: str, at: int, strings: Sequence[str]) -> None:
        """The same for strings that stand between other text, by halves."""
        held = self.domain.excluded.get(letters[at], ())
        strings = [one for one in strings if not any(other in one for other in held)]
        chat = _holding(letters, at, f"w {' w '.join(strings)} w")
        if not strings or not self._fails(fmt, chat):
            return
        if len(strings) == 1:
            self._excludes(fmt, chat, at, strings[0])
            return
        half = len(strings) // 2
        self._exclude_within(fmt, letters, at, strings[:half])
        self._exclude_within(fmt, letters, at, strings[half:])

    def _excludes(self, fmt: Format, chat: Chat, at: int, constant: str) -> None:
        letter = chat.letters[at]
        held = self.domain.excluded.get(letter, ())
        if any(other.lower() in constant.lower() for other in held):
            return
        if self._fails(fmt, chat):
            self.domain.excluded[letter] = (*held, constant)

    def narrow(self, fmt: Format, found: Difference) -> None:
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
        odd = [key for key in ODDEST if key in pairs and key not in self.dropped]
        last = chat.letters[-1:]
        if chat.letters == "S" and not self.never_alone:
            self.never_alone = True
        elif chat.prompt and last != "U" and last in self.domain.prompts:
            self.dropped.add(Key(last, GEN))
        elif odd:
            self.dropped.add(odd[0])
        elif "S" in chat.letters and last == "A" and self.domain.answered:
            self.domain.answered = False
        elif "S" in chat.letters and not self.without_system:
            self.without_system = True
            self.unclaimed["system"] = self._shown(fmt, chat)
        else:
            raise self.shown(fmt, chat, "no table of turns comes out as it does")

    def _narrow_contents(self, fmt: Format, chat: Chat) -> None:
        """Take out of the domain what the contents of a conversation show to be wrong."""
        for places in self._mended(fmt, chat):
            letter = chat.letters[places[0]]
            for at in places:
                if self._leave_out(fmt, chat, at, letter):
                    return
        raise self.shown(fmt, chat, "no filter makes of contents what it does")

    def _mended(self, fmt: Format, chat: Chat) -> Iterator[list[int]]:
        """Places whose contents, once they are words, mend a conversation."""
        odd = [at for at, content in enumerate(chat.contents) if content != chats.WORD]
        groups = [[at] for at in odd]
        groups += [[at for at in odd if chat.letters[at] == letter] for letter in "SUA"]
        for places in groups:
            contents = tuple(
                chats.WORD if at in places else content for at, content in enumerate(chat.contents)
            )
            if places and not self._fails(fmt, replace(chat, contents=contents)):
                yield places

    def _leave_out(self, fmt: Format, chat: Chat, at: int, letter: str) -> bool:
        domain, content = self.domain, chat.contents[at]
        if content == "" and letter not in domain.full:
            domain.full |= {letter}
            return True
        if not content.strip() and letter in domain.blank:
            domain.blank -= {letter}
            return True
        held = domain.excluded.get(letter, ())
        for constant in domain.constants:
            if constant in content and len(constant.strip()) > 1 and constant not in held:
                domain.excluded[letter] = (*held, constant)
                return True
        stripped = (*chat.contents[:at], content.strip(), *chat.contents[at + 1 :])
        if letter in domain.ends and not self._fails(fmt, replace(chat, contents=stripped)):
            domain.ends -= {letter}
            return True
        return False

    # What is said of it.

    def sentences(self, draft: Draft) -> Iterator[str]:
        """What is left out of the claims, a sentence each."""
        domain = self.domain
        names = {"S": "system", "U": "user", "A": "assistant"}
        reading: Reading = draft.known["reading"]
        if self.prober.typed:
            yield "Contents are given to the template as lists of one text part."
        if self.prober.listed:
            yield "Tools and documents are given to the template as empty lists if there are none."
        if "S" not in domain.letters:
            yield "System messages are refused."
        elif reading.place == "turn" and not reading.pairs.get(Key("A", "S")):
            yield "System messages stand first."
        if not self.domain.answered:
            yield "No claim where there is a system message and the assistant speaks last."
        if not reading.prompts:
            yield "The template has no generation prompt; that of the format is its header."
        else:
            behind = [names[one] for one in "SUA" if one in domain.prompts]
            yield f"The generation prompt is claimed behind messages of {', '.join(behind)}."
        for letter, name in names.items():
            if letter in domain.full:
                yield f"Messages of {name} say something; empty ones are refused."
            if letter not in domain.blank:
                yield f"No claim where a message of {name} is white space alone."
            if letter not in domain.ends:
                yield f"No claim where a message of {name} begins or ends in white space."
            if domain.excluded.get(letter):
                listed = ", ".join(map(repr, domain.excluded[letter]))
                yield f"No claim where a message of {name} holds {listed}, in any case of letters."
        if draft.has("options", "date_string") and self.prober.date_form:
            yield "The date is an option; the template takes that of its clock."
        named = [names[letter] for letter in reading.named]
        if named:
            whose = ", ".join(named)
            yield f"No claim where messages of {whose} have names: the template writes them."
        if "parse" in self.unclaimed:
            yield "What is written is not always read back."
        extra = draft.known.get("domain")
        yield from getattr(extra, "limits", ())
        yield from draft.known.get("limits", ())

    def refused(self, why: str, letters: str = "") -> LearnError:
        """The error that says why there is no format file.

        Args:
            why: The reason.
            letters: The authors of the conversation that shows it, or empty.
        """
        text = f"{self.prober.template.name}: it cannot be learnt: {why}"
        if not letters:
            return LearnError(text)
        chat = Chat(letters, tuple(self.prober.words(len(letters))), prompt=False)
        meant = prove.of_template(self.prober, chat)
        return LearnError(text, conversation={"messages": chat.messages}, expected=str(meant))

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


def _holding(letters: str, at: int, content: str) -> Chat:
    """A conversation of words in which one content is another."""
    contents = [chats.WORD] * len(letters)
    contents[at] = content
    return Chat(letters, tuple(contents), prompt=False)


def _around(constant: str) -> list[str]:
    """Contents that begin and end with a string of the template's."""
    found = [constant]
    if re.fullmatch(r"<\w[^<>]*>", constant):
        found.append(f"{constant}w</{constant[1:]}")
    return found
