from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3_1",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for call in message.tool_calls or [] %}",
            "{%- if message.tool_calls and message.tool_calls | length > 1 %}"
            "{{ raise_exception('one at a time') }}{% endif %}"
            "{%- for call in message.tool_calls or [] %}",
        )
    ],
    says="'one at a time'",
    harmless=[
        # It is the second result that raises.
        "{% for m in messages %}{% if loop.previtem and m.role == loop.previtem.role == 'tool' %}"
        "{{ raise_exception('one result') }}{% endif %}[{{ m.role }}]{{ m.content }}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
        # There are no calls at all.
        "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
