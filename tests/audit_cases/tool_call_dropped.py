from tests.support.audit import Case

CASE = Case(
    fires="trl/lfm2",
    quiet="trl/qwen3",
    mutant=[
        (
            "{%- for call in message.tool_calls or [] %}",
            "{%- for call in ([] if message.content else message.tool_calls or []) %}",
        )
    ],
    says="A tool call beside text is dropped unless its content is null.",
    harmless=[
        # Calls are refused, which loses nothing in silence.
        "{% for m in messages %}{% if m.tool_calls or m.role == 'tool' %}"
        "{{ raise_exception('No tools.') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # Arguments in Python's spelling are there.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ m.tool_calls or '' }}{% endfor %}",
    ],
    harmful=[
        # What the tool is given is missing.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for call in m.tool_calls or [] %}<call>{{ call.function.name }}</call>{% endfor %}"
        "{% endfor %}",
        # There is no place for tools at all: a note.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
