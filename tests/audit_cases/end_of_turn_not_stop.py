from tests.support.audit import Case

CASE = Case(
    fires="trl/gemma",
    quiet="trl/qwen3",
    mutant=[],
    sources={"eos": ("<|endoftext|>",)},
    says="ends with '<|im_end|>', and generation stops at '<|endoftext|>' only.",
    harmless=[
        # One of several tokens at the end is enough.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}",
        # None is `end-of-turn-missing`.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    ],
    harmful=[
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ],
)
