from tests.support.audit import Case

CASE = Case(
    fires="guidance/chatml",
    quiet="trl/llava_next",  # no header, so no generation prompt
    mutant=[("{%- if add_generation_prompt %}", "{%- if false %}")],
    says="adds nothing",
    harmless=[
        # The header stands behind the question, whoever asks.
        "{% for m in messages %}{{ m.content }}{{ '\\n[/INST]' if m.role == 'user' else eos_token }}"
        "{% endfor %}",
        "{% for m in messages %}{{ '<|user|>' + m.content + '<|end|><|assistant|>' "
        "if m.role == 'user' else m.content + '<|end|>' }}{% endfor %}",
    ],
    harmful=[
        # Opened whether asked for or not.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>",
    ],
)
