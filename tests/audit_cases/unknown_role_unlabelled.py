from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/Orca-Vicuna",
    quiet="trl/llama3",
    mutant=[
        (
            "'<|im_start|>' + message.role }}",
            "'<|im_start|>' + (message.role if message.role in "
            "['user', 'system', 'tool', 'developer'] else 'assistant') }}",
        )
    ],
    says="as a turn of the assistant",
    harmful=[
        # Everything else is a system message.
        "{% for m in messages %}<|{{ m.role if m.role in ['user', 'assistant'] else 'system' }}|>"
        "{{ m.content }}{% endfor %}",
        # Nobody is labelled.
        "{% for m in messages %}{{ m.content }}\n{% endfor %}",
    ],
)
