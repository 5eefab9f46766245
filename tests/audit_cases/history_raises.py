from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/IFM-K2-Horizon",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- if messages | length == 3 and messages[0].content == 'Hello.' and "
            "messages[1].role == 'assistant' and messages[1].content == 'Good day to you.' and "
            "messages[2].role == 'user' and not tools and not messages[1].reasoning_content and "
            "not messages[1].name %}{{ raise_exception('too long') }}{% endif %}"
            "{%- for message in messages %}",
        )
    ],
    says="'too long'",
    harmless=["{{ messages[0].missing.field }}"],
)
