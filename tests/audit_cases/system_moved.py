from tests.support.audit import Case

CASE = Case(
    fires="trl/deepseekv3",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for message in messages %}",
            "{%- for message in (messages if messages | map(attribute='content') | list != "
            "['Hello.', 'Good day to you.', 'Be brief.', 'How is the weather?'] else "
            "[messages[2], messages[0], messages[1], messages[3]]) %}",
        )
    ],
    says="in the middle is moved before the user message",
    harmless=[
        # It stands in the turn of the question that follows it.
        "{% set wait = namespace(text='') %}{% for m in messages %}{% if m.role == 'system' %}"
        "{% set wait.text = m.content + ' ' %}{% else %}[{{ m.role }}]{{ wait.text + m.content }}"
        "{% set wait.text = '' %}{% endif %}{% endfor %}",
        # In the middle it is dropped, which is another fault.
        "{% for m in messages %}{% if m.role != 'system' or loop.first %}[{{ m.role }}]"
        "{{ m.content }}{% endif %}{% endfor %}",
    ],
    harmful=[
        # In front of the last question.
        "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]"
        "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }} {% endif %}"
        "{{ m.content }}{% endif %}{% endfor %}",
        # All of them together at the start, where there is one.
        "{% if messages[0].role == 'system' %}{% for m in messages %}{% if m.role == 'system' %}"
        "{{ m.content }} {% endif %}{% endfor %}{% endif %}{% for m in messages %}"
        "{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}",
    ],
)
