from tests.support.audit import Case

CASE = Case(
    fires="trl/gptoss",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for call in message.tool_calls or [] %}",
            "{%- for call in (message.tool_calls or [])[:1] %}",
        )
    ],
    says="the second call is dropped",
    harmless=[
        # The template of a model that makes one call a turn refuses two.
        "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length > 1 %}"
        "{{ raise_exception('One call a turn.') }}{% endif %}[{{ m.role }}]{{ m.content }}"
        "{{ m.tool_calls[0].function | tojson if m.tool_calls else '' }}{% endfor %}",
        # There is no place for calls: `tool-call-dropped`.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # The second one comes without what it is given.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name }}"
        "{{ call.function.arguments if loop.first else '' }}{% endfor %}{% endfor %}",
    ],
)
