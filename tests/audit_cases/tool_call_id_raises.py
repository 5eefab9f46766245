from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- '\\n<tool_call' }}",
            "{%- if call.id and call.id | length > 20 %}{{ raise_exception('too long') }}{% endif %}"
            "{{- '\\n<tool_call' }}",
        )
    ],
    says="'too long'",
    harmless=[
        # It raises on every call.
        "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no calls') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # There has to be one.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for call in m.tool_calls or [] %}"
        "{{ call.function.name + call.id }}{% endfor %}{% endfor %}",
    ],
)
