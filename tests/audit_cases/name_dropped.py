from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="llama.cpp/Kimi-K2-Instruct",
    mutant=[("{%- if message.name %}", "{%- if message.name and message.role != 'assistant' %}")],
    says="name of the assistant is dropped",
    harmless=[
        # In capitals it is a name still.
        "{% for m in messages %}[{{ (m.name or m.role) | upper }}]{{ m.content }}{% endfor %}",
    ],
    harmful=["{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"],
)
