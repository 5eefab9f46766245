from tests.support.audit import Case

CASE = Case(
    fires="trl/gemma",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- if messages[0].role == 'system' and messages[0].content %}"
            "{{ raise_exception('no system') }}{% endif %}{%- for message in messages %}",
        )
    ],
    says="no system",
    harmless=[
        # It raises on whatever has no answer yet, system message or not.
        "{% if messages[-1].role != 'assistant' %}{{ raise_exception('no answer') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
