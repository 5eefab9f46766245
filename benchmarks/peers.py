"""The peers, each called as its users call it."""

from __future__ import annotations

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


def fast_tokenizer(model: Model, template: str) -> Any:
    transformers = importlib.import_module("transformers")
    config = json.loads(
        model.huggingface_file.with_name("tokenizer_config.json").read_text(encoding="utf-8")
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(model.huggingface_file),
        chat_template=template,
        pad_token=config.get("pad_token"),
        clean_up_tokenization_spaces=False,
        **model.special_tokens(),
    )


def _with_tools(conversations: Sequence[Conversation]) -> tuple[list[Any], list[Any]]:
    given = with_objects(conversations)
    return [one["messages"] for one in given], [one.get("tools") for one in given]


def transformers(model: Model) -> list[Contender]:
    """`apply_chat_template` to ids and with its mask, one by one and on lists."""
    marked, whose = model.marked_jinja()

    def each(template: str, **arguments: Any) -> Callable[[Any], Any]:
        tokenizer = fast_tokenizer(model, template)

        def run(given: tuple[list[Any], list[Any]]) -> Any:
            return [
                tokenizer.apply_chat_template(messages, tools=tools, return_dict=True, **arguments)
                for messages, tools in zip(*given, strict=True)
            ]

        return run

    def listed(template: str, **arguments: Any) -> Callable[[Any], Any]:
        tokenizer = fast_tokenizer(model, template)

        def run(given: tuple[list[Any], list[Any]]) -> Any:
            # A list of conversations takes one set of tools for all.
            return tokenizer.apply_chat_template(given[0], return_dict=True, **arguments)

        return run

    mask = {"return_assistant_tokens_mask": True}
    returns = "a list of ids; a control token spelled in content becomes one"
    masked = f"lists of ids and of the assistant's mask (by {whose}); content as above"
    return [
        Contender(
            key="transformers",
            call="t.apply_chat_template(m)",
            returns=returns,
            run=each(model.jinja()),
            prepare=_with_tools,
            ids=lambda made: [one["input_ids"] for one in made],
            slow=True,
        ),
        Contender(
            key="transformers_list",
            call="t.apply_chat_template(conversations)",
            returns=returns,
            run=listed(model.jinja()),
            prepare=_with_tools,
            ids=lambda made: made["input_ids"],
            slow=True,
            tools=False,
        ),
        Contender(
            key="transformers_mask",
            call="t.apply_chat_template(m, return_assistant_tokens_mask=True)",
            returns=masked,
            run=each(marked, **mask),
            prepare=_with_tools,
            ids=lambda made: [one["input_ids"] for one in made],
            slow=True,
        ),
        Contender(
            key="transformers_mask_list",
            call="t.apply_chat_template(conversations, return_assistant_tokens_mask=True)",
            returns=masked,
            run=listed(marked, **mask),
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
    renderer = library.create_renderer(fast_tokenizer(model, model.jinja()), config)

    def run(given: tuple[list[Any], list[Any]]) -> Any:
        return [
            renderer.render(messages, tools=tools) for messages, tools in zip(*given, strict=True)
        ]

    return [
        Contender(
            key="renderers",
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
    if not model.mistral:
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


def trl(model: Model) -> list[Contender]:
    """TRL's own tokenization with its mask, as its SFT trainer maps it over a dataset."""
    if model.training is None:
        return []
    data_utils = _wheel(TRL, "trl.data_utils")
    marked, _ = model.marked_jinja()
    tokenizer = fast_tokenizer(model, model.jinja())

    def run(given: tuple[list[Any], list[Any]]) -> Any:
        return [
            data_utils._tokenize(
                tokenizer,
                messages,
                tools=tools,
                chat_template=marked,
                return_assistant_tokens_mask=True,
            )
            for messages, tools in zip(*given, strict=True)
        ]

    return [
        Contender(
            key="trl",
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
    strategies = _wheel(AXOLOTL, "axolotl.prompt_strategies.chat_template")
    tokenizer = fast_tokenizer(model, model.jinja())
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
