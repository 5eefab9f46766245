from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3_1",
    quiet="trl/qwen3",
    mutant=[("{{- message.content }}", "{{- message.content if not message.tool_calls else '' }}")],
    says="beside a tool call",
    harmless=[
        # The call is what is missing: `tool-call-dropped`.
        "{% for m in messages %}[{{ m.role }}]{% if m.content %}{{ m.content }}"
        "{% else %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
    ],
)
