from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="trl/lfm2",
    mutant=[("message.role != 'system' or message.content or", "message.role or")],
    says="adds '<|im_start|>system\\n<|im_end|>\\n'",
    harmless=[
        # No system message is taken at all.
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # It replaces a default.
        "{% if messages[0].role != 'system' %}Be kind.\n{% endif %}{% for m in messages %}"
        "{% if m.role == 'system' %}{{ m.content }}\n{% else %}[{{ m.role }}]{{ m.content }}"
        "{% endif %}{% endfor %}",
        # It raises.
        "{% for m in messages %}{% if not m.content %}{{ raise_exception('empty') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
