from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3_5_think",
    quiet="trl/llama3",
    mutant=[
        (
            "{%- if '<' in message.role %}",
            "{%- if message.role not in ['user', 'assistant', 'system', 'tool', 'developer'] %}",
        )
    ],
    says="'writer' raises",
    harmless=[
        # It raises on every second user message.
        "{% for m in messages %}{% if m.role == 'user' and not loop.first %}"
        "{{ raise_exception('one question') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
