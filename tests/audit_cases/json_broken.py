from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- call.function.arguments | tojson }}",
            "{{- '{' }}{% for key, value in call.function.arguments.items() %}"
            "{{ ', ' if not loop.first }}{{ key | tojson }}: "
            "{{ '\"' + value + '\"' if value is string else value | tojson }}{% endfor %}{{ '}' }}",
        )
    ],
    says="With a quotation mark, a backslash, a line break in an argument of a call",
    harmless=[
        # No JSON is meant.
        '{% for t in tools or [] %}- {{ t.function.name }}: "{{ t.function.description }}"\n'
        "{% endfor %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or "
        "[] %}<call={{ c.function.name }}>{% for k, v in c.function.arguments.items() %}<{{ k }}>"
        "{{ v }}</{{ k }}>{% endfor %}</call>{% endfor %}{% endfor %}",
        # A list of what is required, and brackets around a result.
        "{% for t in tools or [] %}<tool>{{ t.function.name }}<required>"
        "{{ t.function.parameters.required }}</required></tool>{% endfor %}{% for m in messages %}"
        "{% if m.role == 'tool' %}[{{ m.content }}]{% else %}<{{ m.role }}>{{ m.content }}{% endif %}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}",
        # JSON with every letter beyond ASCII escaped.
        "{{ tools | tojson(ensure_ascii=True) if tools }}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # Schemas as Python spells them.
        "{% if tools %}{{ tools }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # Arguments as Python spells them, where they are an object.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments }}{% endfor %}{% endfor %}",
        # A result that is taken for JSON.
        "{% for m in messages %}[{{ m.role }}]{% if m.role == 'tool' %}{\"content\": {{ m.content }}}"
        "{% else %}{{ m.content }}{% endif %}{% if m.tool_calls %}{{ m.tool_calls | tojson }}"
        "{% endif %}{% endfor %}",
        # A description between quotes.
        '{% for t in tools or [] %}{"name": {{ t.function.name | tojson }}, "description": "'
        '{{ t.function.description }}"}{% endfor %}'
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
