from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3_1",
    quiet="trl/qwen2_5",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- for message in messages %}{% if message.tool_calls is none %}"
            "{{ raise_exception('None') }}{% endif %}",
        )
    ],
    says="An answer whose tool_calls is None raises",
    harmless=[
        # It raises on calls, with content or without.
        "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no calls') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # Content that is not there, or is None.
        "{% for m in messages %}[{{ m.role }}]{{ m.content + '' }}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
        # Content that is None.
        "{% for m in messages %}[{{ m.role }}]{% if 'content' in m %}{{ m.content + '' }}{% endif %}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
    ],
)
