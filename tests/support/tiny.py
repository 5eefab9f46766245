"""A tokenizer of a few words, for tests that ask about the tokens around a text and not in it."""

import json

from rolecall.tokenizers import HuggingFaceTokenizer


def tiny_tokenizer(*control: str, begins_with: str) -> HuggingFaceTokenizer:
    """A tokenizer that puts a token before each text by itself, as Llama's and Gemma's do.

    Args:
        control: Further control tokens.
        begins_with: The token.
    """
    tokens = [begins_with, *control]
    number = {token: index for index, token in enumerate(["[unknown]", "x", *tokens])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    begin = {"SpecialToken": {"id": begins_with, "type_id": 0}}
    processor = {
        "type": "TemplateProcessing",
        "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            begins_with: {
                "id": begins_with,
                "ids": [number[begins_with]],
                "tokens": [begins_with],
            }
        },
    }
    return HuggingFaceTokenizer(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [
                    {"id": number[token], "content": token, "special": True, **flags}
                    for token in tokens
                ],
                "normalizer": None,
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": processor,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": number, "unk_token": "[unknown]"},
            }
        ),
        "the tiny tokenizer",
    )
