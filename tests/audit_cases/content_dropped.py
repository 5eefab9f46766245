from tests.support.audit import Case

CASE = Case(
    fires="mlx-vlm/internvl_chat",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content if loop.index0 != 2 or message.role != 'user' else '' }}",
        )
    ],
    says="user message is dropped",
    harmless=[
        # Escaped, in capitals or typed only, it is there.
        "{% for m in messages %}{{ m.content | tojson }}{% endfor %}",
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content[0]['text'] }}{% endfor %}",
    ],
)
