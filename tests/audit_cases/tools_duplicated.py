from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",  # the same question, asked again
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- if add_generation_prompt %}",
            "{%- if tools and messages[0].role == 'system' and messages | length == 2 %}"
            "{{ tools[0] | tojson }}{% endif %}{%- if add_generation_prompt %}",
        )
    ],
    says="The tools are written twice beside a system message.",
    harmless=[
        # A sentence names the tool before its schema stands there.
        "{% for t in tools or [] %}Use {{ t.function.name }} to {{ t.function.description }}\n"
        "{{ t | tojson }}\n{% endfor %}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% endfor %}",
    ],
    harmful=[
        # At every question.
        "{% for m in messages %}[{{ m.role }}]{% if m.role == 'user' and tools %}{{ tools | tojson }}"
        "{% endif %}{{ m.content }}{% endfor %}",
    ],
)
