from tests.support.audit import Case

CASE = Case(
    fires=None,
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if message.content is string %}\n            {{- message.content }}",
            "{%- if message.content is string %}\n            {{- message.content }}"
            "{% if message.role == 'user' %}"
            "{{ message.content }}{% endif %}",
        )
    ],
    why="None of the published templates known to the tests repeats content.",
    says="user message is written twice",
    harmless=[
        # In two pieces it is there once.
        "{% for m in messages %}[{{ m.role }}]{{ m.content[:3] }}{{ m.content[3:] }}{% endfor %}",
    ],
)
