from tests.support.audit import Case

CASE = Case(
    fires="axolotl/jamba",
    quiet="trl/qwen3",
    mutant=[("{%- if '<' in (message.name or '') %}", "{%- if false %}")],
    says="The name of the user message",
    harmless=[
        "{% for m in messages %}<|{{ m.role }}|>{{ (m.name or '') | replace('<|', '') }}:"
        "{{ m.content }}<|end|>{% endfor %}",
    ],
    harmful=[
        # Of the model's own names only.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.name if m.role == 'assistant' and m.name else '' }}"
        ":{{ m.content }}<|end|>{% endfor %}",
    ],
)
