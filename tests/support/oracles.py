"""References that the formats are compared with, behind one small interface.

An `Oracle` writes a conversation in wire form as its reference does: `Oracle.text` the text,
`Oracle.ids` the token ids. Where the reference refuses a conversation, `Refused` is raised with the
reference's own message, so that a test may also compare what is refused.

- `TransformersOracle`: a Jinja template, rendered by transformers' own environment.
- `MistralOracle`: mistral-common. `MistralTemplateOracle`: the Jinja templates it generates.
- `HarmonyOracle`: openai-harmony.
- `FastChatOracle`: FastChat's ``conversation.py``.

No oracle asks the network; what needs a file takes its path, or fetches it with `asset`.
"""

from __future__ import annotations

import abc
import copy
import datetime
import functools
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

# Set here too, for scripts that use an oracle outside pytest.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import jinja2
import mistral_common
import pydantic
from mistral_common.exceptions import MistralCommonException
from mistral_common.integrations.chat_templates.chat_templates import generate_chat_template
from mistral_common.protocol.instruct.normalize import get_normalizer
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.sentencepiece import is_sentencepiece_tokenizer
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from tests.support.assets import Spec, asset, cache, chat_template

Wire = Mapping[str, Any]
"""A conversation: ``{messages, tools, cast}``, of which only ``messages`` is required."""

Continue = bool | Literal["content", "reasoning_content"]
"""What `continue_final_message` takes."""

TODAY = "2025-06-28"
"""The date that a template which asks for today is told, unless the option ``today`` says else."""

OWN_KEYS = ("weight", "attributes", "prefix")
"""Message keys of ours that no reference knows."""


class Refused(Exception):  # noqa: N818 - it names what the reference did, not a bug
    """The reference refuses the conversation; the message is the reference's own."""


class Oracle(abc.ABC):
    """One reference: the text and the token ids it makes of a conversation."""

    @abc.abstractmethod
    def text(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> str:
        """The text that the reference writes."""

    @abc.abstractmethod
    def ids(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> list[int]:
        """The token ids that the reference gives."""


def with_standard_roles(conversation: Wire) -> dict[str, Any]:
    """`conversation` with each role that its cast declares replaced by its author's standard role.

    For references with a closed set of roles, to compare what a format does with a ``writer``
    with what the reference does with an ``assistant``.
    """
    standard = {"owner": "system", "client": "user", "model": "assistant", "tool": "tool"}
    entries = {
        (entry["role"], entry.get("name")): entry["author"]
        for entry in conversation.get("cast") or ()
    }
    messages: list[dict[str, Any]] = []
    for message in conversation["messages"]:
        role = message["role"]
        author = entries.get((role, message.get("name"))) or entries.get((role, None))
        messages.append({**message, "role": standard[author] if author else role})
    return {**conversation, "messages": messages, "cast": None}


# transformers ---------------------------------------------------------------------------------


class TransformersOracle(Oracle):
    """A Jinja chat template as transformers renders it, and the ids it would tokenize that to.

    Args:
        template: A ``.jinja`` file, a ``tokenizer_config.json`` that holds a ``chat_template``, or
            the template itself.
        template_name: Which one, where the configuration holds several.
        bos_token, eos_token: What the template sees; the configuration beside the template or the
            tokenizer says where None.
        tokenizer_json: The tokenizer that gives the ids.
        tokenizer_config: Its configuration; the ``tokenizer_config.json`` beside it where None.

    Messages reach the template as `apply_chat_template` hands them on: keys with the value None are
    left out and ``reasoning_content`` also shows as ``thinking``. Tool call arguments reach it as
    objects, which is what transformers documents and what nearly every template expects, or, with
    `text_arguments`, as JSON strings, for templates that join them to text. The option ``today`` sets the date that `strftime_now` gives; all other
    options go to the template.
    """

    def __init__(
        self,
        template: str | Path,
        *,
        template_name: str | None = None,
        bos_token: str | None = None,
        eos_token: str | None = None,
        tokenizer_json: Path | None = None,
        tokenizer_config: Path | None = None,
        text_arguments: bool = False,
    ) -> None:
        self.text_arguments = text_arguments
        config: dict[str, Any] = {}
        if tokenizer_json is not None and tokenizer_config is None:
            beside = tokenizer_json.with_name("tokenizer_config.json")
            tokenizer_config = beside if beside.exists() else None
        if tokenizer_config is not None:
            config = json.loads(tokenizer_config.read_text(encoding="utf-8"))
        if isinstance(template, Path):
            source = template.read_text(encoding="utf-8")
            if template.suffix == ".json":
                config = {**json.loads(source), **config}
                source = _named_template(json.loads(source)["chat_template"], template_name)
        else:
            source = template
        self.template: str = source
        self.special_tokens = {
            key: text
            for key, given in (("bos_token", bos_token), ("eos_token", eos_token))
            if (text := given if given is not None else _token_text(config.get(key))) is not None
        }
        self.tokenizer = None if tokenizer_json is None else load_tokenizer(tokenizer_json, config)

    def text(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> str:
        messages = [
            _template_message(message, text_arguments=self.text_arguments)
            for message in conversation["messages"]
        ]
        if not messages:
            raise Refused("Cannot apply chat template to an empty conversation.")
        if continue_final_message and add_generation_prompt:
            raise Refused("continue_final_message and add_generation_prompt are not compatible.")
        try:
            with _clock(options.pop("today", TODAY)):
                rendered, _ = chat_template_utils.render_jinja_template(
                    conversations=cast(Any, [messages]),
                    tools=conversation.get("tools") or None,
                    chat_template=self.template,
                    add_generation_prompt=add_generation_prompt,
                    continue_final_message=continue_final_message,
                    **{**self.special_tokens, **options},
                )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            # A template that crashes on a conversation (None joined to a string) cannot write it.
            raise Refused(f"{type(error).__name__}: {error}") from error
        return rendered[0]

    def ids(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> list[int]:
        text = self.text(conversation, add_generation_prompt, continue_final_message, **options)
        return self.tokenize(text)

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, control tokens recognised, nothing added."""
        if self.tokenizer is None:
            raise ValueError("This oracle has no tokenizer; give it a tokenizer_json.")
        encoded = self.tokenizer(text, add_special_tokens=False, padding=False, truncation=False)
        return cast(list[int], encoded["input_ids"])


@functools.cache
def _cached_tokenizer(path: Path, config_json: str) -> PreTrainedTokenizerFast:
    config: dict[str, Any] = json.loads(config_json)
    named = {
        key: _added_token(config[key])
        for key in ("bos_token", "eos_token", "unk_token", "pad_token")
        if config.get(key)
    }
    added = {
        int(index): _added_token(token)
        for index, token in (config.get("added_tokens_decoder") or {}).items()
    }
    return PreTrainedTokenizerFast(
        tokenizer_file=str(path),
        added_tokens_decoder=added,
        # The newer releases never clean up spaces; the older ones did so only when decoding.
        clean_up_tokenization_spaces=False,
        **named,
    )


def load_tokenizer(
    tokenizer_json: Path, config: Mapping[str, Any] | None = None
) -> PreTrainedTokenizerFast:
    """The tokenizer of a ``tokenizer.json``, with the added tokens of its configuration.

    The class that the configuration names is not used: some of them want code from a model hub, and
    all of them take their rules from the same ``tokenizer.json``.
    """
    return _cached_tokenizer(tokenizer_json, json.dumps(dict(config or {}), sort_keys=True))


def _added_token(token: str | Mapping[str, Any]) -> str | AddedToken:
    if isinstance(token, str):
        return token
    flags = {
        key: bool(token[key])
        for key in ("single_word", "lstrip", "rstrip", "normalized", "special")
        if key in token
    }
    return AddedToken(str(token["content"]), **flags)


def _token_text(token: str | Mapping[str, Any] | None) -> str | None:
    return token if token is None or isinstance(token, str) else str(token["content"])


def _named_template(template: str | Sequence[Mapping[str, str]], name: str | None) -> str:
    if isinstance(template, str):
        if name not in (None, "default"):
            raise ValueError(f"The configuration holds one unnamed template, not {name!r}.")
        return template
    found = {entry["name"]: entry["template"] for entry in template}
    if (name or "default") not in found:
        raise ValueError(f"No template {name!r}; there are {', '.join(found)}.")
    return found[name or "default"]


def _template_message(
    message: Mapping[str, Any], *, text_arguments: bool = False
) -> dict[str, Any]:
    plain = {
        key: value for key, value in message.items() if value is not None and key not in OWN_KEYS
    }
    if calls := plain.get("tool_calls"):
        plain["tool_calls"] = [
            {
                **call,
                "function": {
                    **call["function"],
                    "arguments": _arguments(call, text_arguments=text_arguments),
                },
            }
            for call in calls
        ]
    return plain


def _arguments(call: Mapping[str, Any], *, text_arguments: bool) -> Any:
    arguments = call["function"]["arguments"]
    plain = json.loads(arguments) if isinstance(arguments, str) else arguments
    return json.dumps(plain, ensure_ascii=False) if text_arguments else plain


@contextmanager
def _clock(today: str) -> Iterator[None]:
    """Makes `strftime_now` say `today`: a template must not give another text tomorrow."""

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Frozen:
            return cls.fromisoformat(today)

    module = cast(Any, chat_template_utils)
    real = module.datetime
    module.datetime = Frozen
    try:
        yield
    finally:
        module.datetime = real


# mistral-common -------------------------------------------------------------------------------

MISTRAL_FILES = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v3-tekken": "tekken_240718.json",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
}
"""The vocabularies that mistral-common carries."""

MISTRAL_EDITED = {"v7-tekken": "v7", "v11": "v11", "v13": "v13"}
"""Versions whose vocabulary it does not carry: Nemo's, with this version written into it."""

TEKKEN_CONTROL = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]"),
    *("[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    "[TOOL_CONTENT]",
)
"""The control tokens of tekken files in the order of their ids."""

TEKKEN_LATER = {"v11": {32: "[ARGS]", 33: "[CALL_ID]"}, "v13": {32: "[ARGS]", 33: "[CALL_ID]"}}
"""What later versions put at higher ids."""

MISTRAL_VERSIONS = (*MISTRAL_FILES, *MISTRAL_EDITED)


def mistral_vocabulary(version: str) -> Path:
    """The tokenizer file of a Mistral tokenizer version, made in the cache folder where need be."""
    data = Path(mistral_common.__file__).parent / "data"
    if version in MISTRAL_FILES:
        return data / MISTRAL_FILES[version]
    number = MISTRAL_EDITED[version]
    target = cache() / "made" / f"tekken-{version}-{mistral_common.__version__}.json"
    if not target.exists():
        content = json.loads((data / MISTRAL_FILES["v3-tekken"]).read_text(encoding="utf-8"))
        names = {**dict(enumerate(TEKKEN_CONTROL)), **TEKKEN_LATER.get(version, {})}
        content["config"]["version"] = number
        content["special_tokens"] = [
            {"rank": rank, "token_str": names.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
            for rank in range(max(names) + 1)
        ]
        _write_whole(target, json.dumps(content))
    return target


def _write_whole(target: Path, text: str) -> None:
    """Writes `target` in one step, since several test processes may do so at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=target.parent, delete=False
    ) as draft:
        draft.write(text)
    Path(draft.name).replace(target)


@functools.cache
def _mistral_instruct(version: str) -> Any:
    return MistralTokenizer.from_file(mistral_vocabulary(version)).instruct_tokenizer


def _mistral_tokenizer(instruct: Any, mode: ValidationMode) -> MistralTokenizer:
    version = instruct.tokenizer.version
    return MistralTokenizer(
        instruct,
        validator=get_validator(version, mode),
        request_normalizer=get_normalizer(version),
    )


class MistralOracle(Oracle):
    """mistral-common itself: its validation, its normalisation, its encoding.

    A conversation that ends with an assistant and is not continued is a finished one and goes
    through the finetuning validation; every other one goes through the serving validation, where
    `continue_final_message`, or ``prefix`` on the last message, becomes mistral-common's prefix.

    The text is exact, not decoded: it is put together from the strings that mistral-common hands to
    its tokenizer. The dummy prefix of SentencePiece shows as the space it is read as.
    """

    def __init__(self, version: str) -> None:
        if version not in MISTRAL_VERSIONS:
            raise ValueError(f"No version {version!r}; there are {', '.join(MISTRAL_VERSIONS)}.")
        self.version = version

    def vocabulary(self) -> Path:
        """The file of the tokenizer that gives the ids."""
        return mistral_vocabulary(self.version)

    def ids(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> list[int]:
        mode, request = self._request(
            conversation, add_generation_prompt, continue_final_message, options
        )
        tokenizer = _mistral_tokenizer(_mistral_instruct(self.version), mode)
        with _refusals():
            return list(cast(Any, tokenizer.encode_chat_completion(request)).tokens)

    def text(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> str:
        mode, request = self._request(
            conversation, add_generation_prompt, continue_final_message, options
        )
        # A shallow copy, so that the shared one keeps its own tokenizer.
        instruct = copy.copy(_mistral_instruct(self.version))
        instruct.tokenizer = recorder = _Recorder(instruct.tokenizer)
        tokenizer = _mistral_tokenizer(instruct, mode)
        with _refusals():
            return recorder.join(cast(Any, tokenizer.encode_chat_completion(request)).tokens)

    def _request(
        self,
        conversation: Wire,
        add_generation_prompt: bool,
        continue_final_message: Continue,
        options: Mapping[str, Any],
    ) -> tuple[ValidationMode, ChatCompletionRequest[Any]]:
        if options:
            raise ValueError(f"mistral-common takes no options, got {', '.join(options)}.")
        messages: list[dict[str, Any]] = []
        for message in conversation["messages"]:
            plain = {k: v for k, v in message.items() if v is not None and k not in OWN_KEYS}
            messages.append(plain)
        last: Mapping[str, Any] = conversation["messages"][-1] if messages else {}
        mode = ValidationMode.serving
        if messages and (continue_final_message or last.get("prefix")):
            if continue_final_message == "reasoning_content":
                raise Refused("mistral-common continues content only.")
            messages[-1]["prefix"] = True
        elif last.get("role") == "assistant" and not add_generation_prompt:
            mode = ValidationMode.finetuning
        with _refusals():
            # It types the messages by their roles.
            request = ChatCompletionRequest(
                model="reference",
                messages=cast(Any, messages),
                tools=conversation.get("tools") or None,
            )
        return mode, request


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Refused(f"{place}: {first['msg']}") from error
    except (MistralCommonException, ValueError, AssertionError) as error:
        raise Refused(str(error) or type(error).__name__) from error


class _Recorder:
    """Stands in for a Mistral tokenizer and remembers the strings it is given.

    Each string gets an id of its own, above all real ones, so the ids that come out say in which
    order strings and control tokens were put.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.sentencepiece = is_sentencepiece_tokenizer(tokenizer)
        self.first = tokenizer.n_words
        self.strings: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        if bos or eos:
            raise AssertionError("mistral-common puts its control tokens by itself")
        if not s:
            return []
        self.strings.append(s)
        return [self.first + len(self.strings) - 1]

    def decode(self, tokens: list[int], **_: Any) -> str:
        return ""

    def join(self, tokens: Sequence[int]) -> str:
        space = " " if self.sentencepiece else ""
        return "".join(
            self.tokenizer.id_to_piece(token)
            if token < self.first
            else space + self.strings[token - self.first]
            for token in tokens
        )


@functools.cache
def mistral_template(version: str) -> str:
    """The Jinja template that mistral-common generates for a version, without media or thinking."""
    tokenizer = _mistral_instruct(version).tokenizer
    return generate_chat_template(
        spm=is_sentencepiece_tokenizer(tokenizer),
        tokenizer_version=tokenizer.version,
        image_support=False,
        audio_support=False,
        thinking_support=False,
        default_system_prompt=None,
        plain_thinking_support=False,
        use_special_token_variables=True,
        model_settings_fields=None,
        reasoning_effort_values=None,
        reasoning_effort_default=None,
    )


class MistralTemplateOracle(TransformersOracle):
    """The Jinja template that mistral-common generates for a version: a second opinion on its text.

    It differs from mistral-common where that trims, sorts or drops, so its text is compared on
    conversations without trailing spaces only.
    """

    def __init__(self, version: str) -> None:
        super().__init__(mistral_template(version), bos_token="<s>", eos_token="</s>")


# openai-harmony -------------------------------------------------------------------------------

HARMONY_VOCABULARY = (
    "pypi:litellm==1.106.2/litellm/litellm_core_utils/tokenizers/"
    "fb374d419588a4632f3f557e76b4b70aebbca790"
)
"""o200k under the name that tiktoken's cache gives it."""


@functools.cache
def _harmony_encoding(vocabulary: Path) -> Any:
    import openai_harmony

    # Read once, by the compiled library, when the encoding is loaded.
    os.environ["TIKTOKEN_RS_CACHE_DIR"] = str(vocabulary.parent)
    return openai_harmony.load_harmony_encoding("HarmonyGptOss")


class HarmonyOracle(Oracle):
    """openai-harmony, given what a client of gpt-oss would give it.

    The system message is built from the options ``model_identity``, ``reasoning_effort`` (``low``,
    ``medium``, ``high``), ``knowledge_cutoff`` and ``conversation_start_date`` (none by default). A
    leading ``system`` or ``developer`` message becomes the developer instructions, with the tools
    behind them. Reasoning becomes the analysis channel, text beside tool calls the commentary
    channel, each call a message to ``functions.NAME`` constrained to JSON, any other text the final
    channel. ``auto_drop_analysis`` (True) is openai-harmony's own switch.

    Text is decoded from the ids, which is exact: the vocabulary works on bytes.
    """

    def __init__(self, vocabulary: Path | None = None) -> None:
        self.encoding = _harmony_encoding(vocabulary or asset(HARMONY_VOCABULARY))

    def text(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> str:
        ids = self.ids(conversation, add_generation_prompt, continue_final_message, **options)
        return cast(str, self.encoding.decode_utf8(ids))

    def ids(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> list[int]:
        import openai_harmony as harmony

        config = harmony.RenderConversationConfig(
            auto_drop_analysis=bool(options.pop("auto_drop_analysis", True))
        )
        try:
            whole = harmony.Conversation.from_messages(harmony_messages(conversation, options))
            if add_generation_prompt:
                return self.encoding.render_conversation_for_completion(
                    whole, harmony.Role.ASSISTANT, config
                )
            if not continue_final_message:
                return self.encoding.render_conversation_for_training(whole, config)
            if conversation["messages"][-1]["role"] != "assistant":
                raise Refused("Only an assistant's message can be continued.")
            # openai-harmony has no prefill: the message without the token that ends it.
            ids = self.encoding.render_conversation(whole, config)
            if self.encoding.decode_utf8(ids[-1:]) != "<|end|>":
                raise Refused("Only text can be continued, not a call.")
            return ids[:-1]
        except (harmony.HarmonyError, pydantic.ValidationError) as error:
            raise Refused(str(error)) from error


def harmony_messages(conversation: Wire, options: dict[str, Any]) -> list[Any]:
    import openai_harmony as harmony

    system = harmony.SystemContent(
        **{
            key: options.pop(key)
            for key in ("model_identity", "knowledge_cutoff", "conversation_start_date")
            if key in options
        }
    )
    if (effort := options.pop("reasoning_effort", None)) is not None:
        system = system.with_reasoning_effort(harmony.ReasoningEffort(str(effort).capitalize()))
    if options:
        raise ValueError(f"openai-harmony takes no option {', '.join(options)}.")
    written = [harmony.Message.from_role_and_content(harmony.Role.SYSTEM, system)]

    messages = list(conversation["messages"])
    developer = harmony.DeveloperContent()
    if messages and messages[0]["role"] in ("system", "developer"):
        developer = developer.with_instructions(str(messages.pop(0)["content"]))
    if tools := conversation.get("tools"):
        developer = developer.with_function_tools(
            [
                harmony.ToolDescription(
                    name=tool["function"]["name"],
                    description=tool["function"].get("description", ""),
                    parameters=tool["function"].get("parameters"),
                )
                for tool in tools
            ]
        )
    if developer.instructions is not None or developer.tools:
        written.append(harmony.Message.from_role_and_content(harmony.Role.DEVELOPER, developer))

    called: dict[str, str] = {}
    for message in messages:
        written.extend(_harmony_turn(message, called))
    return written


def _harmony_turn(message: Mapping[str, Any], called: dict[str, str]) -> Iterator[Any]:
    import openai_harmony as harmony

    role, text = message["role"], message.get("content")
    if text is not None and not isinstance(text, str):
        raise Refused("Only text is given to openai-harmony here.")
    if role == "user":
        author = harmony.Author(role=harmony.Role.USER, name=message.get("name"))
        yield harmony.Message.from_author_and_content(author, text or "")
    elif role == "tool":
        name = called.get(str(message.get("tool_call_id"))) or message.get("name")
        if name is None:
            raise Refused("A result must answer a call, or name its tool.")
        author = harmony.Author(role=harmony.Role.TOOL, name=f"functions.{name}")
        result = harmony.Message.from_author_and_content(author, text or "")
        yield result.with_channel("commentary").with_recipient("assistant")
    elif role == "assistant":
        calls = message.get("tool_calls") or ()
        reasoning = message.get("reasoning_content")
        spoken: list[tuple[str, str]] = []
        if reasoning:
            spoken.append(("analysis", reasoning))
        if text or (text is not None and not calls and not reasoning):
            spoken.append(("commentary" if calls else "final", text))
        for channel, body in spoken:
            part = harmony.Message.from_role_and_content(harmony.Role.ASSISTANT, body)
            yield part.with_channel(channel)
        for call in calls:
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            if call.get("id"):
                called[call["id"]] = name
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False)
            part = harmony.Message.from_role_and_content(harmony.Role.ASSISTANT, arguments)
            part = part.with_channel("commentary").with_recipient(f"functions.{name}")
            yield part.with_content_type("<|constrain|>json")
    else:
        raise Refused(f"No place for a message of role {role!r}.")


# FastChat -------------------------------------------------------------------------------------

FASTCHAT_SOURCE = "pypi:fschat==0.2.36/fastchat/conversation.py"


@functools.cache
def _fastchat_module(source: Path) -> Any:
    spec = importlib.util.spec_from_file_location("rolecall_tests_fastchat", source)
    if spec is None or spec.loader is None:
        raise ValueError(f"{source} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up while it is being executed.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class FastChatOracle(Oracle):
    """A conversation template of FastChat, whose one file is loaded without the package.

    A conversation without a system message keeps the one that the template brings along. FastChat
    knows neither tools nor names nor a message that is to be continued.
    """

    def __init__(
        self, name: str, source: Path | None = None, tokenizer_json: Path | None = None
    ) -> None:
        self.module = _fastchat_module(source or asset(FASTCHAT_SOURCE))
        if name not in self.module.conv_templates:
            raise ValueError(f"FastChat has no template {name!r}.")
        self.name = name
        self.tokenizer = None if tokenizer_json is None else load_tokenizer(tokenizer_json)

    def text(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> str:
        if options or conversation.get("tools") or continue_final_message:
            raise Refused("FastChat has no options, no tools and no prefill.")
        template = self.module.get_conv_template(self.name)
        roles = {"user": template.roles[0], "assistant": template.roles[1]}
        messages = list(conversation["messages"])
        if messages and messages[0]["role"] == "system":
            template.set_system_message(messages.pop(0)["content"])
        for message in messages:
            if message["role"] not in roles or message.get("name") or message.get("tool_calls"):
                raise Refused(f"FastChat has no place for a message of role {message['role']!r}.")
            template.append_message(roles[message["role"]], message["content"])
        if add_generation_prompt:
            template.append_message(roles["assistant"], None)
        return cast(str, template.get_prompt())

    def ids(
        self,
        conversation: Wire,
        add_generation_prompt: bool = False,
        continue_final_message: Continue = False,
        **options: Any,
    ) -> list[int]:
        if self.tokenizer is None:
            raise ValueError("This oracle has no tokenizer; give it a tokenizer_json.")
        text = self.text(conversation, add_generation_prompt, continue_final_message, **options)
        return cast(list[int], self.tokenizer(text, add_special_tokens=False)["input_ids"])


# From a page ----------------------------------------------------------------------------------


def oracle(reference: Mapping[str, Any], tokenizer_json: Path | None = None) -> Oracle:
    """The oracle that a page's ``toml reference`` block describes.

    ``tokenizer_json`` is the file of the test tokenizer that the block names.
    """
    kind = reference["kind"]
    if kind == "transformers":
        source = asset(reference["template"])
        is_config = source.suffix == ".json"
        return TransformersOracle(
            # A configuration says more than the template: what bos_token and eos_token are.
            source if is_config else chat_template(reference["template"]),
            template_name=Spec.parse(reference["template"]).fragment or None,
            bos_token=reference.get("bos_token"),
            eos_token=reference.get("eos_token"),
            tokenizer_json=tokenizer_json,
            text_arguments=reference.get("text_arguments", False),
        )
    if kind == "mistral-common":
        return MistralOracle(reference["version"])
    if kind == "mistral-template":
        return MistralTemplateOracle(reference["version"])
    if kind == "harmony":
        return HarmonyOracle()
    if kind == "fastchat":
        return FastChatOracle(reference["template"], tokenizer_json=tokenizer_json)
    raise ValueError(f"No reference of kind {kind!r}.")
