from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/unsloth-Apriel-1.5",
    quiet="llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",
    mutant=[
        ("{%- if message.tool_call_id %}{{ ' id=' + message.tool_call_id }}{% endif %}\n", "\n")
    ],
    says="written with the call and dropped with the result",
    harmless=[
        # There is no place for tools at all: `tool-call-dropped`.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        "{% for m in messages %}[{{ m.role }}]{{ m.tool_call_id or '' }}{{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{% endfor %}",
        # Results belong to calls by their order: a note.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{% endfor %}",
    ],
)
