from tests.support.audit import Case

CASE = Case(
    fires="trl/deepseek_r1_distill",
    quiet="trl/qwen3",
    mutant=[("{{- '<|im_start|>assistant\\n' }}", "{{- '<|im_start|>assistant:\\n' }}")],
    says="a plain reply and a reply with reasoning and a tool call",
    harmless=[
        # The model itself writes what stands between the prompt and the reply.
        "{% for m in messages %}<|{{ m.role }}|>{{ '<think></think>' if m.role == 'assistant' }}"
        "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ],
    harmful=[
        # A space too much.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}assistant:  {% endif %}",
    ],
)
