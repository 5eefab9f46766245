from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3_vl",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content if message.role != 'system' or loop.last or loop.index0 < 2"
            " else '' }}",
        )
    ],
    says="in the middle",
    harmless=[
        # No system message is written at all: `system-dropped`.
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # Every one is moved to the front.
        "{% for m in messages if m.role == 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # The first of all is looked for, and the others are passed over.
        "{% for m in messages | selectattr('role', 'equalto', 'system') %}"
        "{% if loop.first %}[system]{{ m.content }}{% endif %}{% endfor %}"
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
