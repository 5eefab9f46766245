from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3",
    quiet="trl/qwen2_5",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content | trim if loop.last and message.role == 'assistant'"
            " else message.content }}",
        )
    ],
    says="at the start and the end of what the model is to continue",
    harmless=[
        # An answer that others follow is no prefill: `whitespace-trimmed`.
        "{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last else m.content | trim }}"
        "{% endfor %}",
        # The whole answer is missing: `content-dropped`.
        "{% for m in messages if m.role != 'assistant' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        "{% for m in messages %}[{{ m.role }}]{{ m.content.rstrip() }}{% endfor %}",
    ],
)
