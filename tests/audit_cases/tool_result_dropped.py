from tests.support.audit import Case

CASE = Case(
    # Results are looked for under the role `tool_response`.
    fires="llama.cpp/ibm-granite-granite-3.0-8b-instruct",
    quiet="trl/qwen3",
    mutant=[("{{- message.content }}", "{{- message.content if message.role != 'tool' else '' }}")],
    says="The result of a tool is dropped",
    harmless=[
        # There is no place for tools at all: `tool-call-dropped`.
        "{% for m in messages %}{% if m.role in ['user', 'assistant'] %}[{{ m.role }}]"
        "{{ m.content }}{% endif %}{% endfor %}",
        # Written as JSON it is there.
        "{% for m in messages %}[{{ m.role }}]{{ m.content | tojson }}"
        "{{ m.tool_calls | tojson if m.tool_calls else '' }}{% endfor %}",
    ],
    harmful=[
        # Of two results the last one is written.
        "{% for m in messages %}{% if m.role != 'tool' or loop.last"
        " or messages[loop.index].role != 'tool' %}[{{ m.role }}]{{ m.content }}"
        "{{ m.tool_calls | tojson if m.tool_calls else '' }}{% endif %}{% endfor %}",
    ],
)
