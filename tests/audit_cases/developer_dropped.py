from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="trl/gptoss",
    mutant=[
        ("{{- message.content }}", "{{- message.content if message.role != 'developer' else '' }}")
    ],
    says="developer message is dropped",
    harmless=[
        # It stands in a system turn.
        "{% for m in messages %}[{{ 'system' if m.role == 'developer' else m.role }}]"
        "{{ m.content }}{% endfor %}",
        # It is refused.
        "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}"
        "{{ raise_exception('Unknown role.') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
