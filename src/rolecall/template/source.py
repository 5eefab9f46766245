"""Where chat templates are read from, and what lies beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from rolecall.errors import InputError, TemplateError, nearest
from rolecall.gguf import MAGIC, in_folder, read_metadata

DEFAULT = "default"
"""Name of the template that is alone."""

LONGEST = 2**24
"""Bytes of a template file that are read at most. Published ones have some 50,000."""

LARGEST = 2**28
"""Bytes of a JSON file that are read at most. A ``tokenizer.json`` has some tens of millions."""

SUFFIXES = (".jinja", ".jinja2", ".j2", ".txt")
"""Files that are a template and nothing else."""

CONFIG = "tokenizer_config.json"

TOKENS = (
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token"),
    "mask_token",
)
"""The tokens that every transformers tokenizer may have a name for."""

_END = "<|endoftext|>"
_GPT2 = {"unk_token": _END, "bos_token": _END, "eos_token": _END}
_LLAMA = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
_QWEN2 = {"unk_token": _END, "eos_token": _END, "pad_token": _END}

CLASS_TOKENS: Mapping[str, Mapping[str, str]] = {
    "CodeLlamaTokenizer": _LLAMA,
    "CohereTokenizer": {
        "unk_token": "<UNK>",
        "bos_token": "<BOS_TOKEN>",
        "eos_token": "<|END_OF_TURN_TOKEN|>",
        "pad_token": "<PAD>",
        "cls_token": "<CLS>",
        "sep_token": "<SEP>",
        "mask_token": "<MASK_TOKEN>",
    },
    "GPT2Tokenizer": _GPT2,
    "GPTNeoXTokenizer": {**_GPT2, "pad_token": "<|padding|>"},
    "GemmaTokenizer": {
        "unk_token": "<unk>",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    },
    "LlamaTokenizer": _LLAMA,
    "Qwen2Tokenizer": _QWEN2,
    "Qwen3_5Tokenizer": _QWEN2,
}
"""What a tokenizer class of transformers fills in where the files say nothing, not even null.

From the signatures of transformers 5.23; a test compares them.
"""

GGUF_TOKENS = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "sep_token": "seperator",
    "pad_token": "padding",
    "cls_token": "cls",
    "mask_token": "mask",
}
"""What a token is called in ``tokenizer.ggml.…_token_id``, in ggml's own spelling."""

GGUF_ENDS = frozenset(
    (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>"),
        *("<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>"),
        *("[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>"),
        *("<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["),
    )
)
"""Tokens that llama.cpp stops at wherever a vocabulary has them.

Source: ``src/llama-vocab.cpp`` of llama.cpp at 00ad355e.
"""


@dataclass(frozen=True)
class Source:
    """The templates of a model, and what of its tokenizer they need."""

    name: str
    """What it is called in messages: the name of the folder, the file or the object."""
    templates: Mapping[str, str]
    """Jinja by name; one that has no name is ``default``."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the template is given: ``bos_token``, ``eos_token`` and others that have a name.

    A token that is not here is undefined in the template, which then writes nothing for it, as it
    does in transformers.
    """
    eos: tuple[str, ...] = ()
    """Every token that ends what the model writes, ``eos_token`` first."""
    added: tuple[str, ...] = ()
    """The added tokens of the vocabulary by their ids, or nothing where they are not known."""
    tokenizer: object | None = None
    """What `rolecall.tokenizer` takes, or None where there is no tokenizer beside the template."""
    add_bos: bool | None = None
    """Whether the tokenizer puts ``bos_token`` before a text by itself; None where unknown."""
    ends_read: bool = False
    """Whether `eos` is what the model's own settings say, not its tokenizer's alone."""
    chosen: str | None = None
    """The template to use where nobody asks for another; None leaves it to the rule."""

    def choose(self, name: str | None = None, tools: bool = False) -> str:
        """The Jinja to run, by the rule of transformers.

        A template that is alone is used whatever there is to write. Of several it is the one asked
        for, or ``tool_use`` where there are tools and it exists, or ``default``.

        Args:
            name: The one asked for.
            tools: Whether there are tools.

        Raises:
            TemplateError: If there is none of that name, or no default among several.
        """
        name = self.chosen if name is None else name
        if name is None:
            if tools and "tool_use" in self.templates:
                return self.templates["tool_use"]
            if DEFAULT in self.templates:
                return self.templates[DEFAULT]
            raise TemplateError(
                f"{self.name} has no default among its chat templates; ask for one of them with "
                f"template=…: {self._names()}"
            )
        if name not in self.templates:
            raise TemplateError(
                f"{self.name} has no chat template named {name!r}"
                f"{nearest(name, self.templates)}; it has {self._names()}"
            )
        return self.templates[name]

    def _names(self) -> str:
        return ", ".join(sorted(self.templates))


def read_source(source: object, template: str | None = None) -> Source:
    """Read the chat templates of a model, with the tokens that they are given.

    Args:
        source: One of these, as a path or as its object:

            - a model's folder, read as transformers reads it: ``chat_template.jinja`` and
              ``additional_chat_templates/*.jinja`` come before ``tokenizer_config.json``. Where
              none of them has a template, a ``chat_template.json`` or a ``.gguf`` file;
            - a ``tokenizer_config.json``, whose own template comes first, or a
              ``chat_template.json``;
            - a file that is a template (``.jinja``, ``.jinja2``, ``.j2``, ``.txt``). Its tokens are
              those of a ``tokenizer_config.json`` beside it; without one they are undefined in the
              template and write nothing;
            - a ``.gguf`` model, of which only the metadata is read;
            - a transformers tokenizer or processor.
        template: The name of the template to use, where there are several.

    Raises:
        TemplateError: If there is no template or it cannot be read.
    """
    if isinstance(source, Source):
        found = source
    elif isinstance(source, (str, Path)):
        found = _of_path(source)
    elif hasattr(source, "chat_template"):
        found = _of_object(source)
    else:
        raise TemplateError(
            f"cannot read a chat template from a {type(source).__name__}; give the path of a "
            "model's folder, a tokenizer_config.json, a .jinja or a .gguf file, or a transformers "
            "tokenizer"
        )
    if template is not None:
        found.choose(template)
        return replace(found, chosen=template)
    return found


# --- Paths ----------------------------------------------------------------------------------------


def _of_path(source: str | Path) -> Source:
    if not str(source):
        raise TemplateError("the path of the chat template is empty")
    if isinstance(source, str) and _is_jinja(source):
        raise TemplateError(
            "a chat template is given as the path of its file, and this is the template itself; "
            "write it to a .jinja file"
        )
    path = Path(source)
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.is_file():
            if path.exists():
                raise TemplateError(
                    f"{str(source)!r} is neither a file nor a folder; copy it to one"
                )
            raise TemplateError(f"there is no file or folder {str(source)!r}")
        with path.open("rb") as stream:
            is_gguf = stream.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise TemplateError(f"cannot read {str(source)!r}: {error.strerror}") from None
    except ValueError:
        # A zero byte, of which the system makes no path.
        raise TemplateError(f"there is no file or folder {str(source)!r}") from None
    suffix = path.suffix.lower()
    if is_gguf:
        return _of_gguf(path)
    if suffix == ".json":
        return _of_json(path)
    if suffix in SUFFIXES:
        return _beside(path.parent, path.name, {DEFAULT: _text(path)}, _config(path.parent))
    if suffix == ".gguf":
        raise TemplateError(f"{path.name} is no GGUF file: it does not begin with 'GGUF'")
    raise TemplateError(
        f"{path.name} is no file that chat templates are read from; give a model's folder, a "
        f"tokenizer_config.json, a .gguf, or a template in a file with one of the endings "
        f"{', '.join(SUFFIXES)}"
    )


def _is_jinja(text: str) -> bool:
    """Whether this is a template where the path of one is asked for."""
    if "{%" in text or "{{" in text:
        return True
    return "\n" in text and not Path(text).exists()


def _of_folder(folder: Path) -> Source:
    config = _config(folder)
    name = folder.name or str(folder)
    if templates := (_in_files(folder) or _in_json(config, CONFIG)):
        return _beside(folder, name, templates, config)
    legacy = folder / "chat_template.json"
    if legacy.is_file() and (templates := _in_json(_json(legacy), legacy.name)):
        return _beside(folder, name, templates, config)
    try:
        model = in_folder(folder)
    except InputError as error:
        raise TemplateError(str(error)) from None
    if model is not None:
        return _of_gguf(model)
    if (folder / CONFIG).is_file():
        raise TemplateError(
            f"the folder {str(folder)!r} holds no chat template: its {CONFIG} has no "
            "'chat_template', and there is no chat_template.jinja. A base model has none; take the "
            "folder of the chat model, or a .jinja file"
        )
    raise TemplateError(
        f"the folder {str(folder)!r} holds no chat template: neither chat_template.jinja nor "
        f"{CONFIG} nor a .gguf file"
    )


def _in_files(folder: Path) -> dict[str, str]:
    """The templates that have files of their own."""
    found: dict[str, str] = {}
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        found[DEFAULT] = _text(alone)
    more = folder / "additional_chat_templates"
    if more.is_dir():
        for file in sorted(more.glob("*.jinja")):
            found[file.name.removesuffix(".jinja")] = _text(file)
    return found


def _of_json(path: Path) -> Source:
    data = _json(path)
    # What is called otherwise may be a config as well: one is known by its tokens.
    is_config = path.name == CONFIG or any(key.endswith("_token") for key in data)
    config = data if is_config else _config(path.parent)
    templates = _in_json(data, path.name)
    if not templates and path.name == CONFIG:
        templates = _in_files(path.parent)
    if templates:
        return _beside(path.parent, path.name, templates, config)
    beside = f"; it lies in {CONFIG} or chat_template.jinja" if "model" in data else ""
    raise TemplateError(f"{path.name} has no 'chat_template'{beside}")


def _in_json(data: Mapping[str, Any], name: str) -> dict[str, str]:
    """The templates of a ``chat_template``: one, or several with their names."""
    value: object = data.get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        pairs = list(cast("Mapping[object, object]", value).items())
    elif isinstance(value, list):
        pairs = [_named(item, name) for item in cast("list[object]", value)]
    else:
        pairs = []
    for key, text in pairs:
        if not isinstance(key, str) or not isinstance(text, str):
            raise TemplateError(
                f"{name}: a template in 'chat_template' is no text: {_short((key, text))}"
            )
        found[key] = text
    if not found:
        raise TemplateError(
            f"{name}: 'chat_template' is {_short(cast('Any', value))}, and not a text or a list of "
            "{'name': …, 'template': …}"
        )
    return found


def _named(item: object, name: str) -> tuple[object, object]:
    if isinstance(item, Mapping):
        found = cast("Mapping[str, object]", item)
        if "name" in found and "template" in found:
            return found["name"], found["template"]
    raise TemplateError(
        f"{name}: an item of 'chat_template' is {_short(cast('Any', item))}, and not "
        "{'name': …, 'template': …}"
    )


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


# --- What lies beside a template ------------------------------------------------------------------


def _beside(
    folder: Path, name: str, templates: Mapping[str, str], config: Mapping[str, Any]
) -> Source:
    """A source with what the folder tells of the tokenizer."""
    from rolecall.tokenizers import FILES

    file = folder / "tokenizer.json"
    engine = _json(file) if file.is_file() else {}
    tokens = named_tokens(folder, config, engine)
    added = _added(config, engine)
    eos = dict.fromkeys([tokens["eos_token"]] if tokens.get("eos_token") else [])
    vocabulary: dict[int, str] | None = None
    ends = list(_end_ids(folder))
    for number in ends:
        if number not in added and vocabulary is None:
            vocabulary = _vocabulary(engine)
        token = added.get(number) or (vocabulary or {}).get(number)
        if token is not None:
            eos[token] = None
    has_tokenizer = any((folder / file).is_file() for file in FILES)
    return Source(
        name=name,
        templates=templates,
        tokens=tokens,
        eos=tuple(eos),
        added=tuple(added[number] for number in sorted(added)),
        tokenizer=folder if has_tokenizer else None,
        add_bos=_adds_bos(config, engine, tokens.get("bos_token")),
        ends_read=bool(ends),
    )


def named_tokens(
    folder: Path, config: Mapping[str, Any], engine: Mapping[str, Any]
) -> dict[str, str]:
    """The tokens that have a name, merged from the files as transformers merges them."""
    values = dict(config)
    older = folder / "special_tokens_map.json"
    if "added_tokens_decoder" not in config and older.is_file():
        values |= _json(older)
    more: object = values.get("extra_special_tokens")
    if isinstance(more, Mapping):
        values |= cast("Mapping[str, object]", more)
        custom = {str(key) for key in cast("Mapping[object, object]", more)}
    else:
        custom = set[str]()
    for key, token in CLASS_TOKENS.get(_class_name(config, engine), {}).items():
        values.setdefault(key, token)
    padding = engine.get("padding")
    if isinstance(padding, Mapping):
        values.setdefault("pad_token", cast("Mapping[str, object]", padding).get("pad_token"))
    found: dict[str, str] = {}
    for key, value in values.items():
        token = _content(value) if key.endswith("_token") or key in custom else None
        if token is not None:
            found[key] = token
    return found


def _content(value: object) -> str | None:
    """A token's characters: they stand alone, or among how it is matched."""
    if isinstance(value, Mapping):
        value = cast("Mapping[str, object]", value).get("content")
    return value if isinstance(value, str) else None


def _class_name(config: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    """The class whose tokens stand in; a vocabulary of bytes is never Llama's own class."""
    name = str(config.get("tokenizer_class") or "").removesuffix("Fast")
    if name == "LlamaTokenizer" and _any_kind(
        [engine.get("pre_tokenizer"), engine.get("decoder")], "ByteLevel"
    ):
        return ""
    return name


def _any_kind(parts: object, kind: str) -> bool:
    if isinstance(parts, Mapping):
        part = cast("Mapping[str, object]", parts)
        return part.get("type") == kind or any(_any_kind(one, kind) for one in part.values())
    if isinstance(parts, list):
        return any(_any_kind(one, kind) for one in cast("list[object]", parts))
    return False


def _added(config: Mapping[str, Any], engine: Mapping[str, Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    listed: object = engine.get("added_tokens")
    for one in cast("list[object]", listed) if isinstance(listed, list) else []:
        if isinstance(one, Mapping):
            entry = cast("Mapping[str, object]", one)
            number, token = entry.get("id"), _content(entry)
            if isinstance(number, int) and token is not None:
                found[number] = token
    decoder: object = config.get("added_tokens_decoder")
    if isinstance(decoder, Mapping):
        for key, value in cast("Mapping[object, object]", decoder).items():
            if str(key).isdecimal() and (token := _content(value)) is not None:
                found[int(str(key))] = token
    return found


def _vocabulary(engine: Mapping[str, Any]) -> dict[int, str]:
    model: object = engine.get("model")
    vocabulary: object = (
        cast("Mapping[str, object]", model).get("vocab") if isinstance(model, Mapping) else None
    )
    if isinstance(vocabulary, Mapping):
        pieces = cast("Mapping[str, object]", vocabulary)
        return {number: piece for piece, number in pieces.items() if isinstance(number, int)}
    if isinstance(vocabulary, list):
        # Unigram: pieces with their scores, by id.
        pairs = cast("list[object]", vocabulary)
        return {
            number: str(cast("list[object]", pair)[0])
            for number, pair in enumerate(pairs)
            if isinstance(pair, list) and pair
        }
    return {}


def _end_ids(folder: Path) -> Iterator[int]:
    """Ids of end tokens in the model's own configuration, those for generation first."""
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        if not file.is_file():
            continue
        data = _json(file)
        # Models of several modalities keep what is of their text apart.
        inner: object = data.get("text_config")
        places = [data, cast("Mapping[str, Any]", inner)] if isinstance(inner, Mapping) else [data]
        for place in places:
            value: object = place.get("eos_token_id")
            numbers = cast("list[object]", value) if isinstance(value, list) else [value]
            yield from (number for number in numbers if isinstance(number, int))


def _adds_bos(config: Mapping[str, Any], engine: Mapping[str, Any], bos: str | None) -> bool | None:
    """Whether encoding begins with the bos token.

    Where there is a ``tokenizer.json``, transformers goes by its post-processor alone, whatever
    ``add_bos_token`` says.
    """
    if engine:
        return bos is not None and _first_special(engine.get("post_processor")) == bos
    value: object = config.get("add_bos_token")
    return value if isinstance(value, bool) else None


def _first_special(part: object) -> str | None:
    """The token that a post-processor puts before a text."""
    if not isinstance(part, Mapping):
        return None
    step = cast("Mapping[str, Any]", part)
    inside: object = step.get("processors")
    for inner in cast("list[object]", inside) if isinstance(inside, list) else ():
        if (found := _first_special(inner)) is not None:
            return found
    pieces: object = step.get("single")
    if isinstance(pieces, list) and pieces and isinstance(pieces[0], Mapping):
        special: object = cast("Mapping[str, object]", pieces[0]).get("SpecialToken")
        if isinstance(special, Mapping):
            return str(cast("Mapping[str, object]", special).get("id"))
    # Two older kinds have a token of that place in a field of their own.
    older: object = step.get("cls")
    return str(cast("list[object]", older)[0]) if isinstance(older, list) and older else None


# --- GGUF -----------------------------------------------------------------------------------------


def _of_gguf(path: Path) -> Source:
    try:
        metadata = read_metadata(path)
    except InputError as error:
        raise TemplateError(str(error)) from None
    key = "tokenizer.chat_template"
    templates: dict[str, str] = {}
    for name, value in metadata.items():
        # tokenizer.chat_templates, with an s, is the list of the names.
        if (name == key or name.startswith(f"{key}.")) and isinstance(value, str):
            templates[name.removeprefix(key).removeprefix(".") or DEFAULT] = value
    if not templates:
        raise TemplateError(
            f"{path.name} holds no chat template: its metadata has no {key!r}. A base model has "
            "none; take the file of the chat model, or a .jinja file"
        )
    texts, kinds = metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")
    vocabulary = cast("list[object]", texts) if isinstance(texts, list) else []

    pieces = metadata.get("tokenizer.ggml.model") == "llama"
    # What llama.cpp takes for SentencePiece where nothing is written.
    standing = {"unknown": 0, "bos": 1, "eos": 2} if pieces else {}

    def token(name: str) -> str | None:
        number: object = metadata.get(f"tokenizer.ggml.{name}_token_id", standing.get(name))
        if isinstance(number, int) and 0 <= number < len(vocabulary):
            return str(vocabulary[number])
        return None

    tokens = {name: found for name, key in GGUF_TOKENS.items() if (found := token(key)) is not None}
    # Types 3 and 4: control and user-defined tokens.
    added = tuple(
        str(text)
        for text, kind in zip(vocabulary, cast("Sequence[object]", kinds or ()), strict=False)
        if kind in (3, 4)
    )
    ends = [found for name in ("eos", "eot", "eom") if (found := token(name)) is not None]
    ends += [text for text in added if text in GGUF_ENDS]
    if {"<|return|>", "<|call|>"} <= {*ends} or {"<|calls|>", "<|flush|>"} <= {*ends}:
        # There it ends a message of several, and llama.cpp goes on behind it.
        ends = [end for end in ends if end != "<|end|>"]
    add_bos: object = metadata.get("tokenizer.ggml.add_bos_token", True if pieces else None)
    return Source(
        name=path.name,
        templates=templates,
        tokens=tokens,
        eos=tuple(dict.fromkeys(ends)),
        added=added,
        tokenizer=path if vocabulary else None,
        add_bos=add_bos if isinstance(add_bos, bool) else None,
        ends_read=bool(ends),
    )


# --- Objects of transformers ----------------------------------------------------------------------


def _of_object(source: Any) -> Source:
    name = type(source).__name__
    templates = _in_json({"chat_template": source.chat_template}, name)
    # A processor has the template, and its tokenizer the tokens.
    tokenizer = getattr(source, "tokenizer", source)
    if not templates:
        templates = _in_json({"chat_template": getattr(tokenizer, "chat_template", None)}, name)
    if not templates:
        raise TemplateError(
            f"the {name} has no chat template: its chat_template is None. A base model has none; "
            "take the tokenizer of the chat model, or a .jinja file"
        )
    given: Mapping[str, object] = getattr(tokenizer, "special_tokens_map", {})
    tokens = {key: str(value) for key, value in given.items() if not isinstance(value, list)}
    listed: Mapping[int, object] = getattr(tokenizer, "added_tokens_decoder", {})
    added = {number: str(listed[number]) for number in sorted(listed)}
    eos = dict.fromkeys([tokens["eos_token"]] if tokens.get("eos_token") else [])
    place = getattr(tokenizer, "name_or_path", None)
    ends: list[int] = []
    if isinstance(place, str) and place and Path(place).is_dir():
        ends = list(_end_ids(Path(place)))
    for number in ends:
        text = added.get(number) or _piece(tokenizer, number)
        if text:
            eos[text] = None
    return Source(
        name=name,
        templates=templates,
        tokens=tokens,
        eos=tuple(eos),
        added=tuple(added.values()),
        tokenizer=tokenizer if hasattr(tokenizer, "backend_tokenizer") else None,
        add_bos=_begins_with_bos(tokenizer),
        ends_read=bool(ends),
    )


def _piece(tokenizer: Any, number: int) -> str | None:
    text: object = tokenizer.convert_ids_to_tokens(number)
    return text if isinstance(text, str) else None


def _begins_with_bos(tokenizer: Any) -> bool | None:
    bos: object = getattr(tokenizer, "bos_token_id", None)
    if bos is None or not callable(tokenizer):
        return None if not callable(tokenizer) else False
    ids = cast("Mapping[str, list[int]]", tokenizer("x"))["input_ids"]
    return bool(ids) and ids[0] == bos


# --- Files ----------------------------------------------------------------------------------------


def _config(folder: Path) -> Mapping[str, Any]:
    file = folder / CONFIG
    return _json(file) if file.is_file() else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            text = stream.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise TemplateError(
                f"{path.name} is longer than {LARGEST // 2**20} MiB: no settings are"
            )
        data: object = json.loads(text.decode())
    except OSError as error:
        raise TemplateError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TemplateError(_not_utf8(path, error)) from None
    except ValueError as error:
        raise TemplateError(f"{path.name} is no JSON: {error}") from None
    except RecursionError:
        raise TemplateError(f"{path.name} is no JSON that can be read: it goes too deep") from None
    if not isinstance(data, dict):
        raise TemplateError(
            f"{path.name} holds a {type(data).__name__} and not an object with 'chat_template'"
        )
    return cast("dict[str, Any]", data)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LONGEST + 1)
        if len(data) > LONGEST:
            raise TemplateError(
                f"{path.name} is longer than {LONGEST // 2**20} MiB: no template is"
            )
        text = data.decode()
    except OSError as error:
        raise TemplateError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TemplateError(_not_utf8(path, error)) from None
    # transformers opens these files as text, where every line ends the same.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return f"{path.name} is not UTF-8 text: byte {byte:#04x} at offset {error.start}"
