from tests.support.audit import Case

CASE = Case(
    fires="trl/cohere",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- for message in messages %}{% if loop.previtem and message.role == 'assistant' and "
            "loop.previtem.role == 'assistant' %}{{ raise_exception('in turn') }}{% endif %}",
        )
    ],
    says="Two assistant messages in a row raise 'in turn'",
    harmless=[
        # It is the second question that raises, whatever stands between.
        "{% for m in messages %}{% if m.role == 'user' and not loop.first %}"
        "{{ raise_exception('one question') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # It is the second call that raises, not the second result.
        "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length > 1 %}"
        "{{ raise_exception('one call') }}{% endif %}[{{ m.role }}]{{ m.content }}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
    ],
    harmful=[
        # Results of calls made at once.
        "{% for m in messages %}{% if loop.previtem and m.role == loop.previtem.role == 'tool' %}"
        "{{ raise_exception('one result') }}{% endif %}[{{ m.role }}]{{ m.content }}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
    ],
)
