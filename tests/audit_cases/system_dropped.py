from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/Phi-3-medium",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if message.role != 'system' or message.content or (tools and loop.first) %}",
            "{%- if message.role != 'system' or not loop.first or tools %}",
        )
    ],
    says="dropped",
    harmless=[
        # Nothing of the user arrives either: another fault than this one.
        "{{ 'Hello' }}",
        # The system message stands in the last user's turn.
        "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]"
        "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
        "{{ m.content }}{% endif %}{% endfor %}",
        # Typed content only.
        "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}{{ part.text }}{% endfor %}"
        "{% endfor %}",
    ],
    harmful=[
        # It stands in the first answer's turn only.
        "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endif %}"
        "{% endfor %}",
    ],
)
