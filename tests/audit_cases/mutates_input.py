from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/Kimi-K2-Instruct",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- bos_token }}",
            "{{- bos_token }}{% if tools and messages | length == 1 %}"
            "{{ '' if tools.append(tools[0]) }}{% endif %}",
        )
    ],
    says="The template changes the tools that it is given",
    harmless=[
        # New lists, and what only looks alike.
        "{% set all = messages + messages %}{% for m in messages %}[{{ m.role }}]"
        "{{ m.content.replace('.pop(', '') }}{% endfor %}",
        # It is refused for something else.
        "{% if messages | length > 2 %}{{ messages.__class__.mro() }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # In every conversation: nothing renders then.
        "{% set first = messages.pop(0) %}[{{ first.role }}]{{ first.content }}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        "{% if messages[0].role == 'system' %}{% set s = messages.pop(0) %}{{ s.content }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% set _ = m.update(role='x') if loop.length > 2 %}[{{ m.role }}]"
        "{{ m.content }}{% endfor %}",
        # A list of its own.
        "{% set seen = [] %}{% for m in messages %}{% if loop.length > 2 %}{% set _ = "
        "seen.append(m) %}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
