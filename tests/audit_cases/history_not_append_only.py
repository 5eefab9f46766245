from tests.support.audit import Case

CASE = Case(
    fires="axolotl/pixtral",
    quiet="trl/qwen2_5",
    mutant=[
        (
            "        {{- '\\n' }}\n        {%- if message.reasoning_content %}",
            "        {{- '\\n' }}\n        {%- if loop.last and message.role == 'assistant' and not "
            "message.reasoning_content %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}\n"
            "        {%- if message.reasoning_content %}",
        )
    ],
    says="the reply is written otherwise, as is a tool call",
    harmless=[
        # The end of a text is no part of a turn.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}",
    ],
    harmful=[
        # Which turn is the last one.
        "{% for m in messages %}[{{ 'last' if loop.last else '' }}]{{ m.content }}{% endfor %}",
        # What closes a reply, as in gpt-oss.
        "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}"
        "{{ '<|return|>' if loop.last and m.role == 'assistant' and not add_generation_prompt "
        "else '<|end|>' }}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        # Where the system message stands.
        "{% for m in messages %}{% if m.role != 'system' %}<|{{ m.role }}|>"
        "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
        "{{ m.content }}{% endif %}{% endfor %}",
    ],
)
