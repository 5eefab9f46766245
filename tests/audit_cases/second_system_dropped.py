from tests.support.audit import Case

CASE = Case(
    fires="trl/deepseek_r1_distill",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content if message.role != 'system' or loop.index0 != 1 or loop.last"
            " else '' }}",
        )
    ],
    says="the second is dropped",
    harmless=[
        # No system message is written at all: `system-dropped`.
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # Both are joined.
        "[system]{% for m in messages if m.role == 'system' %}{{ m.content }} {% endfor %}"
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # Each replaces the one before.
        "{% set ns = namespace(text='') %}{% for m in messages %}{% if m.role == 'system' %}"
        "{% set ns.text = m.content %}{% endif %}{% endfor %}[system]{{ ns.text }}"
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
