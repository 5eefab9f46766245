from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="trl/llama3",
    mutant=[
        (
            "{{- message.content }}",
            "{{- '<think>' + message.content.split('<think>')[-1] if '<think>' in message.content"
            " else message.content }}",
        )
    ],
    says="Text before '<think>' is dropped",
    harmless=[
        # Reasoning alone is cut, wherever it stands.
        "{% for m in messages %}[{{ m.role }}]{% if '</think>' in m.content %}"
        "{{ m.content.split('<think>')[0] + m.content.split('</think>')[-1] }}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}",
        # Nothing of the answer arrives: `content-dropped`.
        "{% for m in messages if m.role != 'assistant' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # In the history only.
        "{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last else "
        "m.content.split('</think>')[-1] }}{% endfor %}",
    ],
)
