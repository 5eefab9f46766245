from tests.support.audit import Case

CASE = Case(
    # Commands after an answer are refused, and dropped after a question.
    fires="trl/cohere",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content if message.role != 'system' or not loop.last or loop.first"
            " else '' }}",
        )
    ],
    says="at the end",
    harmless=[
        # No system message is written at all: `system-dropped`.
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
