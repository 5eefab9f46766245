from tests.support.audit import Case

CASE = Case(
    fires="trl/glm4moe",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if message.content is string %}",
            "{%- if message.content is string or message.content is none %}",
        )
    ],
    says="content beside a tool call is null",
    harmless=[
        # None is how Python's own calls spell it.
        "{% for m in messages %}[{{ m.role }}]{{ m.content or '' }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name }}("
        "{% for key, value in call.function.arguments | items %}{{ key }}={{ value }}{% endfor %})"
        "{% endfor %}{% endfor %}",
        # The word is the template's own.
        "None{% for m in messages %}[{{ m.role }}]{{ m.content or 'None' }}{% endfor %}",
    ],
    harmful=[
        # A filter that makes text of it.
        "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}",
        "{% for m in messages %}[{{ m.name if m.name is defined else m.role }}]{{ m.content or '' }}"
        "{% endfor %}",
        "{% for m in messages %}[{{ m.role }}]{{ m.content or '' }}"
        "{% for call in m.tool_calls or [] %}<call>{{ call.function.name }}"
        "{% for key, value in call.function.arguments | items %}<{{ key }}>{{ value }}{% endfor %}"
        "</call>{% endfor %}{% endfor %}",
    ],
)
