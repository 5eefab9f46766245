from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3_5_think",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- for message in messages %}{% if message.role == 'system' and message.content == "
            "'Be brief.' and messages | length == 4 and loop.index0 == 2 %}"
            "{{ raise_exception('too late') }}{% endif %}",
        )
    ],
    says="between two turns raises 'too late'",
    harmless=[
        # It raises on every system message.
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
        # It raises on every second answer.
        "{% if messages | length > 2 %}{{ raise_exception('too long') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        "{% if messages[-1].role == 'system' %}{{ raise_exception('nothing to answer') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
