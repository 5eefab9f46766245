from tests.support.audit import Case

CASE = Case(
    fires="lenml/deepseek_v3",  # writes calls and results, and looks at no tools
    quiet="trl/qwen3",
    mutant=[
        (
            "            {%- for tool in tools %}{{ tool | tojson }}{{ '\\n' }}{% endfor %}\n"
            "        {%- endif %}",
            "        {%- endif %}",
        )
    ],
    says="dropped where there is a system message",
    harmless=[
        # No place for tools at all.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # They stand where nothing of the conversation does.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
        "{{ tools or '' }}",
    ],
    harmful=[
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}",
        # With the question only.
        "{% for m in messages %}[{{ m.role }}]{% if loop.last and m.role == 'user' %}"
        "{{ tools or '' }}{% endif %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}",
    ],
)
