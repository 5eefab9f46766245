from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3",
    quiet="trl/qwen2_5",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content | trim if message.role == 'user' else message.content }}",
        )
    ],
    says="user messages is cut off",
    harmless=[
        # White space that is written otherwise is not lost.
        "{% for m in messages %}[{{ m.role }}]{{ m.content | tojson }}{% endfor %}",
    ],
)
