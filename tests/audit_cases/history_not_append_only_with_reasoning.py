from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="trl/qwen2_5",
    mutant=[
        (
            "message.reasoning_content + '\\n</think>\\n\\n' }}",
            "message.reasoning_content + ('\\n</think>\\n\\n' if loop.last else '</think>') }}",
        )
    ],
    says="is written otherwise as soon as the result",
    harmful=[
        "{% for m in messages %}<|{{ m.role }}|>{% if loop.last and m.reasoning_content %}<think>"
        "{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|end|>{% endfor %}",
        # In the content, and in a field of another name.
        "{% for m in messages %}<|{{ m.role }}|>"
        "{{ m.content if loop.last else m.content.split('</think>')[-1] }}<|end|>{% endfor %}",
        "{% for m in messages %}<|{{ m.role }}|>{% if loop.last %}{{ m.thinking }}{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}",
    ],
    harmless=[
        # Kept.
        "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}<think>"
        "{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|end|>{% endfor %}",
        # Never written, which is another matter.
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}<|end|>"
        "{% endfor %}",
    ],
)
