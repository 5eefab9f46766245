from tests.support.audit import Case

CASE = Case(
    fires="trl/gemma3",
    quiet="trl/llama3",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- for message in messages %}{% if message.role == 'developer' %}"
            "{{ raise_exception('who?') }}{% endif %}",
        )
    ],
    says="'who?', a system message does not",
    harmless=[
        # It raises on whatever has two messages.
        "{% if messages | length == 2 %}{{ raise_exception('odd') }}{% endif %}"
        "{% if messages[0].role == 'user' and messages | length == 1 %}{{ raise_exception('one') }}"
        "{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # A system message raises too.
        "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
        "{{ raise_exception('who?') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
