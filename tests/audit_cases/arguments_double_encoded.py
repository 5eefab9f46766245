from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3_2",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if call.function.arguments is string %}",
            "{%- if call.function.arguments is string and false %}",
        )
    ],
    says="quoted again",
    harmless=[
        # Text only: as an object they would be printed.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments }}{% endfor %}{% endfor %}",
        # A format that has them in quotes, in either form.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{% if c.function.arguments is string %}"
        "{{ c.function.arguments | tojson }}{% else %}{{ c.function.arguments | tojson | tojson }}"
        "{% endif %}{% endfor %}{% endfor %}",
    ],
    harmful=["{% for m in messages %}{{ m | tojson }}\n{% endfor %}"],
)
