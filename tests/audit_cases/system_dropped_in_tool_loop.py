from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content if message.role != 'system' or messages[-1].role != 'tool'"
            " else '' }}",
        )
    ],
    says="once a tool gave its result",
    harmless=[
        # Results are refused, which loses nothing in silence.
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('No tools.') }}"
        "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # The format knows nothing of tools.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # The schemas stand instead of it.
        "{% if tools %}[system]{{ tools | tojson }}{% endif %}"
        "{% for m in messages %}{% if not (tools and m.role == 'system') %}"
        "[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}",
    ],
)
