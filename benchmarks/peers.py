"""The peers, each called as its users call it."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.contender import Contender, Conversation
from benchmarks.models import Model, with_objects
from tests.support.assets import package

TRL = "pypi:trl==1.16.0/trl/__init__.py"
AXOLOTL = "pypi:axolotl==0.19.0/axolotl/__init__.py"


@functools.cache
def fast_tokenizer(model: Model) -> Any:
    """The model's tokenizer as transformers loads it, one for all who use it.

    Its cache of words is theirs together, in their favour.
    """
    transformers = importlib.import_module("transformers")
    config = json.loads(
        model.huggingface_file.with_name("tokenizer_config.json").read_text(encoding="utf-8")
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(model.huggingface_file),
        chat_template=model.jinja(),
        pad_token=config.get("pad_token"),
        clean_up_tokenization_spaces=False,
        **model.special_tokens(),
    )


def _with_tools(conversations: Sequence[Conversation]) -> tuple[list[Any], list[Any]]:
    given = with_objects(conversations)
    return [one["messages"] for one in given], [one.get("tools") for one in given]


def transformers(model: Model) -> list[Contender]:
    """`apply_chat_template` to ids and with its mask, one by one and on lists."""
    if model.template is None:
        return []
    marked = model.marked_jinja()
    apply = fast_tokenizer(model).apply_chat_template

    def each(**arguments: Any) -> Callable[[Any], Any]:
        arguments = {**model.options, **arguments}

        def run(given: tuple[list[Any], list[Any]]) -> Any:
            return [
                apply(messages, tools=tools, **arguments)
                for messages, tools in zip(*given, strict=True)
            ]

        return run

    def listed(**arguments: Any) -> Callable[[Any], Any]:
        # A list of conversations takes one set of tools for all.
        arguments = {**model.options, **arguments}
        return lambda given: apply(given[0], **arguments)

    mask: dict[str, Any] = {"chat_template": marked, "return_assistant_tokens_mask": True}
    returns = "a list of ids; a control token spelled in content becomes one"
    masked = (
        "lists of ids and of the assistant's mask, by TRL's training template or our export; "
        "content as above"
    )
    return [
        Contender(
            key="transformers",
            call="t.apply_chat_template(m)",
            returns=returns,
            run=each(),
            prepare=_with_tools,
            ids=lambda made: [one["input_ids"] for one in made],
            slow=True,
        ),
        Contender(
            key="transformers_list",
            warm=False,
            call="t.apply_chat_template(conversations)",
            returns=returns,
            run=listed(),
            prepare=_with_tools,
            ids=lambda made: made["input_ids"],
            slow=True,
            tools=False,
        ),
        Contender(
            key="transformers_mask",
            warm=False,
            call="t.apply_chat_template(m, return_assistant_tokens_mask=True)",
            returns=masked,
            run=each(**mask),
            prepare=_with_tools,
            ids=lambda made: [one["input_ids"] for one in made],
            slow=True,
        ),
        Contender(
            key="transformers_mask_list",
            warm=False,
            call="t.apply_chat_template(conversations, return_assistant_tokens_mask=True)",
            returns=masked,
            run=listed(**mask),
            prepare=_with_tools,
            ids=lambda made: made["input_ids"],
            slow=True,
            tools=False,
        ),
    ]


def renderers(model: Model) -> list[Contender]:
    """The hand-written renderer, for the models that have one."""
    if model.renderer is None:
        return []
    library = importlib.import_module("renderers")
    config = getattr(library, model.renderer)()
    renderer = library.create_renderer(fast_tokenizer(model), config)

    def run(given: tuple[list[Any], list[Any]]) -> Any:
        return [
            renderer.render(messages, tools=tools) for messages, tools in zip(*given, strict=True)
        ]

    return [
        Contender(
            key="renderers",
            warm=False,
            call="r.render(m)",
            returns="lists of ids, message index, sampled and is-content; a control token "
            "spelled in content becomes one",
            run=run,
            prepare=_with_tools,
            ids=lambda made: [one.token_ids for one in made],
            slow=True,
        )
    ]


def mistral(model: Model) -> list[Contender]:
    """mistral-common, for its own models."""
    if model.library != "mistral-common":
        return []
    request = importlib.import_module("mistral_common.protocol.instruct.request")
    validator = importlib.import_module("mistral_common.protocol.instruct.validator")
    mistral = importlib.import_module("mistral_common.tokens.tokenizers.mistral")
    tokenizer = mistral.MistralTokenizer.from_file(
        model.file, mode=validator.ValidationMode.finetuning
    )

    def run(conversations: list[Any]) -> Any:
        return [
            tokenizer.encode_chat_completion(
                request.ChatCompletionRequest(
                    messages=one["messages"], tools=one.get("tools"), model="m"
                )
            ).tokens
            for one in conversations
        ]

    return [
        Contender(
            key="mistral_common",
            call="t.encode_chat_completion(ChatCompletionRequest(messages=m))",
            returns="a list of ids",
            run=run,
            ids=list,
            slow=True,
        )
    ]


def harmony(model: Model) -> list[Contender]:
    """openai-harmony, from its own objects."""
    if model.library != "openai-harmony":
        return []
    from tests.support.oracles import HarmonyOracle, harmony_messages

    library = importlib.import_module("openai_harmony")
    encoding = HarmonyOracle().encoding

    def prepare(conversations: Sequence[Conversation]) -> list[Any]:
        return [
            library.Conversation.from_messages(harmony_messages(one, {})) for one in conversations
        ]

    return [
        Contender(
            key="openai_harmony",
            call="encoding.render_conversation_for_training(Conversation)",
            returns="a list of ids",
            run=lambda given: [encoding.render_conversation_for_training(one) for one in given],
            prepare=prepare,
            ids=list,
            slow=True,
        )
    ]


def trl(model: Model) -> list[Contender]:
    """TRL's own tokenization with its mask, as its SFT trainer maps it over a dataset."""
    if model.training is None:
        return []
    data_utils = _wheel(TRL, "trl.data_utils")
    marked = model.marked_jinja()
    tokenizer = fast_tokenizer(model)

    def run(given: tuple[list[Any], list[Any]]) -> Any:
        return [
            data_utils._tokenize(
                tokenizer,
                messages,
                tools=tools,
                chat_template=marked,
                **model.options,
                return_assistant_tokens_mask=True,
            )
            for messages, tools in zip(*given, strict=True)
        ]

    return [
        Contender(
            key="trl",
            warm=False,
            call="trl.data_utils._tokenize(t, m, return_assistant_tokens_mask=True)",
            returns="lists of ids and of the assistant's mask",
            run=run,
            prepare=_with_tools,
            ids=lambda made: [one["input_ids"] for one in made],
            slow=True,
        )
    ]


def axolotl(model: Model) -> list[Contender]:
    """axolotl's tokenization with its mask, which diffs texts."""
    if model.template is None:
        return []
    strategies = _wheel(AXOLOTL, "axolotl.prompt_strategies.chat_template")
    tokenizer = fast_tokenizer(model)
    prompter = strategies.ChatTemplatePrompter(
        tokenizer, chat_template=model.jinja(), message_property_mappings={}
    )
    strategy = strategies.ChatTemplateStrategy(
        prompter,
        tokenizer=tokenizer,
        train_on_inputs=False,
        sequence_len=1 << 20,
        roles_to_train=["assistant"],
        train_on_eos="turn",
    )

    return [
        Contender(
            key="axolotl",
            warm=False,
            call="ChatTemplateStrategy(…).tokenize_prompt(m)",
            returns="lists of ids and labels",
            run=lambda given: [strategy.tokenize_prompt(one) for one in given],
            prepare=with_objects,
            ids=lambda made: [one["input_ids"] for one in made],
            slow=True,
        )
    ]


def _wheel(spec: str, module: str) -> Any:
    """A module of a package that is fetched without what it depends on."""
    folder = str(package(spec))
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(module)


PEERS: tuple[Callable[[Model], list[Contender]], ...] = (
    transformers,
    renderers,
    mistral,
    harmony,
    trl,
    axolotl,
)


def peers(model: Model) -> tuple[list[Contender], list[str]]:
    """The peers that can be run here, and why the others cannot."""
    found: list[Contender] = []
    missing: list[str] = []
    for make in PEERS:
        try:
            found += make(model)
        except (ImportError, RuntimeError) as error:
            missing.append(f"{make.__name__}: {type(error).__name__}: {error}")
    return found, missing
