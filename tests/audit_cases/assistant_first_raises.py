from tests.support.audit import Case

CASE = Case(
    fires="trl/cohere2",
    quiet="trl/llama3",
    mutant=[
        (
            "{{- bos_token }}",
            "{{- bos_token }}{% if messages and messages[0].role == 'assistant' %}"
            "{{ raise_exception('who asked?') }}{% endif %}",
        )
    ],
    says="at the start raises 'who asked?'",
    harmless=[
        # It raises on every assistant message.
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # Behind a system message only.
        "{% if messages | length > 1 and messages[0].role == 'system' and "
        "messages[1].role != 'user' %}{{ raise_exception('ask first') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
