from tests.support.audit import Case

CASE = Case(
    fires="mergekit/alpaca",
    quiet="trl/phi3",  # another end of its own behind the last turn
    mutant=[
        (
            "        {{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}",
            "        {%- if not loop.last or message.role != 'assistant' %}"
            "{{ '<|im_end|>\\n' }}{% endif %}\n    {%- endif %}\n{%- endfor %}",
        )
    ],
    says="closes the assistant's last message",
    harmless=[
        # It stands in front of the next turn, and at the end.
        "{% for m in messages %}{% if not loop.first %}<|end|>{% endif %}<|{{ m.role }}|>"
        "{{ m.content }}{% endfor %}<|end|>{% if add_generation_prompt %}<|assistant|>{% endif %}",
        # A default system prompt ends like a turn.
        "{% if messages[0].role != 'system' %}<|system|>Be good.<|end|>{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ],
    harmful=[
        # The next speaker's token may be what the model stops at: a note.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}",
    ],
)
