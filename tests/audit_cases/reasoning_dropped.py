from tests.support.audit import Case

CASE = Case(
    # It cuts the content of every assistant's message, the last one too.
    fires="trl/deepseek_r1_distill",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if message.reasoning_content %}",
            "{%- if message.reasoning_content and not message.tool_calls %}",
        )
    ],
    says="while tools are used: reasoning_content",
    harmless=[
        # Reasoning of turns before the last question is left out, and meant to be.
        "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
        "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
        "{% for m in messages %}[{{ m.role }}]"
        "{% if loop.index0 > ns.last and m.reasoning_content %}<think>{{ m.reasoning_content }}"
        "</think>{% endif %}{{ m.content if loop.index0 > ns.last or '</think>' not in m.content"
        " else m.content.split('</think>')[-1] }}{% endfor %}",
        # An option asks for it.
        "{% for m in messages %}[{{ m.role }}]{% if enable_thinking and m.reasoning_content %}"
        "<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}{% endfor %}",
        # It is a part of typed content.
        "{% for m in messages %}[{{ m.role }}]{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{{ part.thinking or part.text }}{% endfor %}{% endif %}"
        "{% endfor %}",
    ],
    harmful=[
        # In the last answer it is missing.
        "{% for m in messages %}[{{ m.role }}]{% if m.tool_calls and m.reasoning %}"
        "<think>{{ m.reasoning }}</think>{% endif %}{{ m.content }}"
        "{{ m.tool_calls | tojson if m.tool_calls else '' }}{% endfor %}",
        # There is no place for it: a note.
        "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}",
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
