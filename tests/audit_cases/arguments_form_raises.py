from tests.support.audit import Case

CASE = Case(
    fires="trl/deepseekv3",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- call.function.arguments }}",
            "{{- raise_exception('no text') if call.function.arguments }}",
        )
    ],
    says="JSON text raise 'no text'",
    harmless=[
        # It raises on either.
        "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}",
    ],
)
