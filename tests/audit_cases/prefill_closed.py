from tests.support.audit import Case

CASE = Case(
    fires="unsloth/mistral",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if add_generation_prompt %}",
            "{%- if add_generation_prompt and messages[-1].role != 'assistant' %}",
        )
    ],
    says="behind '<|im_end|>'",
    harmless=[
        # A turn is opened, always.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>",
        # The last message is left open.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
        "{% if not (loop.last and m.role == 'assistant') %}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt and messages[-1].role == 'user' %}<|assistant|>{% endif %}",
    ],
    harmful=[
        # White space is not what the model wrote either.
        "{% for m in messages %}{{ '[' + m.content + ']' if m.role == 'user' else m.content + ' ' }}"
        "{% endfor %}",
    ],
)
