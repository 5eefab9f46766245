from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen2_5",
    quiet="trl/llama3",
    mutant=[
        (
            "{{- bos_token }}",
            "{{- bos_token }}{% if not tools and not (messages[0].role == 'system' and "
            "messages[0].content) %}"
            "{{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}{% endif %}",
        )
    ],
    says="You are helpful.",
    harmless=[
        # The system prompt stands bare before the first turn.
        "<s>{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% else %}"
        "<|{{ m.role }}|>{{ m.content }}{% endif %}{% endfor %}",
        # It is folded into the user's turn.
        "{% for m in messages %}{% if m.role == 'system' %}[INST] {{ m.content }}\n\n"
        "{% elif m.role == 'user' %}{% if messages[0].role != 'system' or not loop.index0 == 1 %}"
        "[INST] {% endif %}{{ m.content }} [/INST]{% else %}{{ m.content }}{% endif %}{% endfor %}",
    ],
    harmful=[
        # Without a turn of its own.
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% else %}A chat between a "
        "person and a machine.{% endif %}{% for m in messages %}{% if m.role != 'system' %}\n"
        "{{ m.role | upper }}: {{ m.content }}{% endif %}{% endfor %}",
        # The one that was given is dropped.
        "A chat between a person and a machine.\n{% for m in messages %}{% if m.role != 'system' %}\n"
        "{{ m.role | upper }}: {{ m.content }}{% endif %}{% endfor %}",
        # An empty turn.
        "<|system|>\n{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}</s>\n"
        "{% for m in messages %}{% if m.role != 'system' %}<|{{ m.role }}|>\n{{ m.content }}</s>\n"
        "{% endif %}{% endfor %}",
    ],
)
