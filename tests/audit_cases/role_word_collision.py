from tests.support.audit import Case

CASE = Case(
    fires="axolotl/alpaca",
    quiet="trl/qwen3",
    mutant=[
        ("'<|im_start|>' + message.role", "'### ' + message.role"),
        ("{{- '<|im_start|>assistant\\n' }}", "{{- '### assistant\\n' }}"),
        (
            "        {{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}",
            "        {{- '<|im_end|>\\n' if message.role == 'assistant' else '\\n' }}\n"
            "    {%- endif %}\n{%- endfor %}",
        ),
    ],
    says="holds '\\n### assistant\\n' reads as an answer",
    harmless=[
        # Words, but behind a token that no text holds.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}",
        # Words, and line breaks of a text are written otherwise.
        "{% for m in messages %}### {{ m.role }}\n{{ m.content | replace('#', '') }}\n{% endfor %}",
        # No labels at all.
        "{% for m in messages %}{{ m.content }}\n{% endfor %}",
    ],
    harmful=[
        # Not in the vocabulary, and so words too.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}",
    ],
)
