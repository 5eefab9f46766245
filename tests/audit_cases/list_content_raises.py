from tests.support.audit import Case

CASE = Case(
    fires="trl/phi3",
    quiet="trl/gemma3",
    mutant=[
        (
            "{%- for part in message.content %}{{ part.text }}{% endfor %}",
            "{{- raise_exception('no lists') if message.role == 'user' }}"
            "{%- for part in message.content %}{{ part.text }}{% endfor %}",
        )
    ],
    says="Typed content raises 'no lists', in messages of the role user.",
    harmless=[
        # It takes typed content only.
        "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}{{ part['text'] + '' }}"
        "{% endfor %}{% endfor %}",
        # It takes no system message at all.
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}]{% if m.content is string %}{{ m.content }}{% else %}"
        "{{ m.content[0].text }}{% endif %}{% endfor %}",
    ],
    harmful=[
        # Of results only.
        "{% for m in messages %}[{{ m.role }}]{% if m.role == 'tool' %}{{ m.content | trim + '' }}"
        "{{ m.content + '' }}{% elif m.content is string %}{{ m.content }}{% else %}"
        "{{ m.content[0].text }}{% endif %}{% if m.tool_calls %}{{ m.tool_calls | tojson }}"
        "{% endif %}{% endfor %}",
    ],
)
