"""Everything about an export into a model's folder that is worked out before it is written."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rolecall.errors import InputError, nearest
from rolecall.export.control_tokens import (
    document_token,
    needed_tokens,
    stops_of,
    taken_for_control,
    written_slots,
)
from rolecall.export.model_files import (
    GENERATION,
    JSON_FILES,
    MODEL,
    OLD_VOCABULARY,
    OLD_WEIGHTS,
    OLDER,
    OTHER_READERS,
    PROCESSORS,
    PYTORCH,
    SETTINGS,
    TEMPLATE,
    TEMPLATES,
    TOKENIZER,
    json_bytes,
    no_tokenizer,
    read_settings,
    templates_in,
    text_part,
    with_size,
)
from rolecall.export.rows import (
    INDEX,
    Rule,
    Weights,
    find_weights,
    new_rows,
    read_rule,
)
from rolecall.export.safetensors import NewRows, Report
from rolecall.export.vocabulary import (
    FLAGS,
    Vocabulary,
    named_ids,
    named_strings,
    renamed,
)
from rolecall.lost import Lost
from rolecall.template.source import named_tokens

if TYPE_CHECKING:
    from rolecall.format import Format


class TokenizerPlan:
    """Everything that is worked out before anything is written."""

    def __init__(
        self,
        fmt: Format,
        folder: Path,
        reserved: bool | Mapping[str, str],
        rows: str | Mapping[str, str],
        given: Mapping[str, str | None],
        cast: object,
        *,
        generation_markers: bool,
    ) -> None:
        from rolecall.export.template_file import template

        self.fmt = fmt
        self.template, self.template_lost = template(
            fmt, cast, generation_markers=generation_markers
        )
        self.folder = folder
        if not (folder / TOKENIZER).is_file():
            raise no_tokenizer(folder)
        engine = read_settings(folder / TOKENIZER)
        self.vocabulary = Vocabulary(engine, TOKENIZER)
        self.settings = {
            name: read_settings(folder / name)
            for name in (*JSON_FILES, *PROCESSORS)
            if (folder / name).is_file()
        }
        own = named_tokens(folder, self.settings.get(SETTINGS, {}), engine)
        slots = written_slots(fmt)
        self.tokens = {
            kind: document_token(fmt, kind, given[kind], own, used=kind in slots)
            for kind in ("bos_token", "eos_token")
        }
        self.named = {
            kind: token for kind, token in self.tokens.items() if token and token != own.get(kind)
        }
        self.taken = taken_for_control(fmt, self.vocabulary.control)
        self.options = {kind: token for kind, token in self.tokens.items() if kind in slots}
        self.written_bos = "bos_token" in slots
        needed = needed_tokens(fmt, [*self.options.values(), *self.named.values()])
        self.old_ids = dict(self.vocabulary.ids)
        unused = self.vocabulary.unused(
            {*self._used(engine), *own.values(), *needed},
            {number for data in self.settings.values() for number in named_ids(data)},
        )
        self.trained = {*self.old_ids.values()} - {self.old_ids[token] for token in unused}
        self.placed = self.vocabulary.place(needed, unused, reserved)
        self.rules = self._rules(rows)
        self.weights: Weights | None = None
        self.rows_left = False
        self.own_ends = self._own_ends(own.get("eos_token"))
        stops = stops_of(fmt, self.options)
        self.stop_strings = [stop for stop in stops if stop not in self.placed.ids]
        named = self.named.get("eos_token")
        self.ends: list[int] = list(
            dict.fromkeys(
                [
                    *self.own_ends,
                    *(self.placed.ids[token] for token in [named] if token is not None),
                    *(self.placed.ids[stop] for stop in stops if stop in self.placed.ids),
                ]
            )
        )

    def _used(self, engine: Mapping[str, Any]) -> Iterator[str]:
        """Whatever strings of the model's files may be tokens in use."""
        for data in self.settings.values():
            yield from named_strings(data)
        yield from named_strings(engine.get("post_processor"))
        texts = [text for data in self.settings.values() for text in templates_in(data)]
        for file in (TEMPLATE, "chat_template.json", "additional_chat_templates"):
            place = self.folder / file
            for path in place.glob("*.jinja") if place.is_dir() else [place]:
                texts += [path.read_text("utf-8", "replace")] if path.is_file() else []
        together = "\n".join(texts)
        yield from (token for token in self.vocabulary.reserved if token in together)

    def _rules(self, rows: str | Mapping[str, str]) -> dict[int, Rule]:
        new = self.placed.new
        others = "mean"
        if isinstance(rows, Mapping):
            others = rows.get("", others)
            for token in filter(None, rows):
                if token not in self.placed.ids:
                    raise InputError(
                        f"there is a rule for the row of {token!r}, which is no control token of "
                        f"{self.fmt.name}{nearest(token, self.placed.ids)} "
                        f"(it has: {', '.join(self.placed.ids)})"
                    )
                if token not in new:
                    raise InputError(
                        f"there is a rule for the row of {token!r}, which the model has already; "
                        "its row stays as it is, so leave the rule out"
                    )

        def encode(text: str) -> Sequence[int]:
            from rolecall.tokenizers import RunStart
            from rolecall.tokenizers import tokenizer as load

            engine = load(self.folder)
            return engine.encode_runs([(text, RunStart.DOCUMENT)], frozenset(engine.control))[0][0]

        return {
            number: read_rule(
                rows.get(token, others) if isinstance(rows, Mapping) else rows,
                token,
                self.old_ids,
                encode,
            )
            for token, number in new.items()
        }

    def read_weights(self, files: Mapping[str, Path], *, wanted: bool) -> None:
        """Find the weights, if they are wanted and something in them changes."""
        if not self.placed.new:
            return
        if not wanted:
            self.rows_left = True
            return
        self.weights = find_weights(self.folder, self.settings.get(MODEL, {}))
        if self.weights is not None:
            return
        other = next((name for name in files if name in PYTORCH), None)
        if other is not None:
            raise InputError(
                f"the weights are in {other}, and rows are set in safetensors files only; convert "
                "them (transformers' save_pretrained writes safetensors), or leave them out "
                "(weights=False)"
            )
        self.rows_left = True

    def new_rows(self, report: Report) -> dict[str, dict[str, NewRows]]:
        """File to tensor to its new rows."""
        found: dict[str, dict[str, NewRows]] = {}
        if self.weights is not None:
            for name, rows in new_rows(self.weights, self.rules, self.trained, report).items():
                found.setdefault(self.weights.tensors[name][0], {})[name] = rows
        return found

    def bytes_to_do(self, copied: Mapping[str, Path]) -> int:
        """What the progress counts: bytes that are read for a mean, and bytes that are written."""
        total = sum(path.stat().st_size for path in copied.values())
        if self.weights is not None:
            grown = max(0, self._count() - self.weights.count)
            means = any(rule.name == "mean" for rule in self.rules.values()) or grown > 0
            for _, tensor in self.weights.tensors.values():
                total += grown * tensor.row_bytes
                total += tensor.end - tensor.begin if means else 0
        return total

    def counts(self) -> dict[str, tuple[int, int]]:
        """Tensor to the number of its rows, before and after."""
        if self.weights is None:
            return {}
        return dict.fromkeys(self.weights.tensors, (self.weights.count, self._count()))

    def _count(self) -> int:
        """How many rows there are then."""
        assert self.weights is not None
        return max((*(number + 1 for number in self.rules), self.weights.count))

    def left_out(self, files: Mapping[str, Path], *, wanted: bool) -> dict[str, str]:
        """The model's files that would say what is no longer so."""
        patterns = {**TEMPLATES, **OTHER_READERS}
        if self.placed.changes:
            patterns |= OLD_VOCABULARY
        if self.placed.new:
            patterns |= OLD_WEIGHTS
        if not wanted:
            weights = (*OLD_WEIGHTS, "*.safetensors", INDEX, "*.bin", "*.pt")
            patterns |= dict.fromkeys(weights, "the weights were not asked for")
        found: dict[str, str] = {}
        for name in files:
            reason = next(
                (why for pattern, why in patterns.items() if fnmatch.fnmatchcase(name, pattern)),
                None,
            )
            if name[0] == ".":
                reason = "it is hidden"
            # The template of the model is replaced, which is the purpose.
            if reason is not None and name != TEMPLATE:
                found[name] = reason
        return found

    # What is written ------------------------------------------------------------------------------

    def written(self) -> dict[str, bytes]:
        """The files that are not copied, by name."""
        names = {old: token for token, old in self.placed.mapped.items()}
        changed = {name: renamed(data, names) for name, data in self.settings.items()}
        changed.setdefault(SETTINGS, {"tokenizer_class": "PreTrainedTokenizerFast"})
        self._name_tokens(changed)
        generation = changed.setdefault(GENERATION, self._first_generation())
        if self.ends:
            generation["eos_token_id"] = self.ends[0] if len(self.ends) == 1 else self.ends
        for data in self._end_places(changed.get(MODEL, {})):
            data["eos_token_id"] = generation["eos_token_id"]
        for data in changed.values():
            data.pop("chat_template", None)
        if self.weights is not None and self._count() != self.weights.count:
            changed[MODEL] = with_size(changed[MODEL], self.weights.count, self._count())
        files = {name: json_bytes(data) for name, data in changed.items()}
        files = {
            name: content
            for name, content in files.items()
            if changed[name] != self.settings.get(name)
        }
        if self.placed.changes:
            files[TOKENIZER] = json_bytes(self.vocabulary.data)
        if self.weights is not None and self.weights.index is not None:
            files[INDEX] = self._index()
        files[TEMPLATE] = self.template.encode()
        return files

    def _name_tokens(self, changed: dict[str, dict[str, Any]]) -> None:
        settings = changed[SETTINGS]
        for kind, token in self.named.items():
            settings[kind] = token
            if OLDER in changed:
                changed[OLDER][kind] = token
            for name in (MODEL, GENERATION):
                if f"{kind}_id" in changed.get(name, {}) and kind != "eos_token":
                    changed[name][f"{kind}_id"] = self.placed.ids[token]
        decoder = settings.get("added_tokens_decoder")
        if isinstance(decoder, dict):
            entries = cast("dict[str, Any]", decoder)
            for token in (*self.placed.added, *self.placed.promoted, *self.placed.mapped):
                entries[str(self.placed.ids[token])] = {"content": token, **FLAGS}

    def _first_generation(self) -> dict[str, Any]:
        """What a model without settings for generation goes by."""
        model = self.settings.get(MODEL, {})
        keys = ("bos_token_id", "pad_token_id")
        return {key: model[key] for key in keys if type(model.get(key)) is int}

    def _own_ends(self, eos: str | None) -> list[int]:
        """The ids that the model stops at by itself."""
        for name in (GENERATION, MODEL):
            for data in (self.settings.get(name, {}), text_part(self.settings.get(name, {}))):
                value = data.get("eos_token_id")
                found = cast("list[object]", value) if isinstance(value, list) else [value]
                if numbers := [number for number in found if type(number) is int]:
                    return numbers
        return [self.old_ids[eos]] if eos in self.old_ids else []

    def _end_places(self, model: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Where the model's configuration names its end tokens and lacks some."""
        for data in (model, text_part(model)):
            value = data.get("eos_token_id")
            found = {*cast("list[object]", value)} if isinstance(value, list) else {value}
            if value is not None and not found >= {*self.ends}:
                yield data

    def _index(self) -> bytes:
        assert self.weights is not None
        index = dict(self.weights.index or {})
        grown = self._count() - self.weights.count
        tensors = [tensor for _, tensor in self.weights.tensors.values()]
        told: object = index.get("metadata")
        metadata = dict(cast("dict[str, Any]", told)) if isinstance(told, dict) else {}
        if type(metadata.get("total_size")) is int:
            metadata["total_size"] += sum(grown * tensor.row_bytes for tensor in tensors)
        if type(metadata.get("total_parameters")) is int:
            metadata["total_parameters"] += sum(
                grown * (tensor.shape[1] if len(tensor.shape) > 1 else 1) for tensor in tensors
            )
        return json_bytes({**index, "metadata": metadata} if metadata else index)

    # What cannot be written -----------------------------------------------------------------------

    def lost(self) -> tuple[Lost, ...]:
        """What the files cannot carry."""
        found = [*self.template_lost]
        if self.stop_strings:
            shown = ", ".join(map(repr, self.stop_strings))
            found.append(
                _lost(
                    "warning",
                    "stop-strings",
                    f"turns end at {shown} too, and generation_config.json takes no strings "
                    "unless each caller of generate() gives a tokenizer; give them as the stop "
                    "strings of the server or of each request",
                )
            )
        if self.rows_left:
            tokens = ", ".join(f"{token!r} (id {n})" for token, n in self.placed.new.items())
            found.append(
                _lost(
                    "warning",
                    "rows-not-set",
                    f"there are no weights here in which to set the rows of {tokens}; set them "
                    "where the weights are, and make room for them if the ids are too large",
                )
            )
        if self.taken:
            shown = ", ".join(map(repr, self.taken))
            found.append(
                _lost(
                    "warning",
                    "text-becomes-control",
                    f"{self.fmt.name} writes {shown} as plain text, and this vocabulary has "
                    "control tokens of that spelling: transformers takes the template's text for "
                    "them, Rolecall encodes it as text. Choose a model without such tokens",
                )
            )
        return tuple(found)


def _lost(level: Any, code: str, detail: str) -> Lost:
    return Lost(level, code, None, "tokenizer", detail)
