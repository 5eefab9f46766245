from tests.support.audit import Case

CASE = Case(
    # What Mistral published, and the template of the report that this rule goes back to.
    fires="llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",
    quiet="llama.cpp/Mistral-Large-Instruct-2411",
    mutant=[
        (
            "{{- message.content }}",
            "{{- message.content if message.role != 'system' or add_generation_prompt"
            " or messages[-1].role != 'assistant' else '' }}",
        )
    ],
    says="ends with the assistant",
    harmless=[
        # It is never there: `system-dropped`.
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # The answer is not there either.
        "{% for m in messages %}{% if messages[-1].role == 'user' or m.role == 'user' %}"
        "[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}",
        # It stands in the last user's turn, whatever follows.
        "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]"
        "{% if m == (messages | selectattr('role', 'equalto', 'user') | list)[-1] %}"
        "{{ messages[0].content if messages[0].role == 'system' }}{% endif %}{{ m.content }}"
        "{% endif %}{% endfor %}",
    ],
    harmful=[
        # In a short chat it is there, in a longer one it is not.
        "{% for m in messages %}{% if m.role != 'system' or messages | length < 5"
        " or messages[-1].role == 'user' %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}",
    ],
)
