from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="trl/qwen3_vl",
    mutant=[
        ("{%- elif message.content %}", "{%- elif message.content and message.role != 'user' %}")
    ],
    says="Typed content of user messages is dropped",
    harmless=[
        # It is printed: `list-content-printed`.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # It is refused.
        "{% for m in messages %}[{{ m.role }}]{{ '' + m.content }}{% endfor %}",
        # Typed content is all that it takes.
        "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}{{ part.text }}{% endfor %}"
        "{% endfor %}",
        # The system message never arrives, in whatever form.
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]"
        "{% for part in [m.content] if part is string %}{{ part }}{% else %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}{% endfor %}",
    ],
    harmful=[
        # The first part only.
        "{% for m in messages %}[{{ m.role }}]"
        "{{ m.content if m.content is string else m.content[0].text }}{% endfor %}",
    ],
)
