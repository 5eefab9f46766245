from tests.support.audit import Case

CASE = Case(
    fires="trl/llama3_2",
    quiet="trl/llama3",
    mutant=[
        ("{{- bos_token }}", "{{- bos_token }}{{ strftime_now('%Y-%m-%d') }}"),
    ],
    says="another prompt on another day",
    harmless=[
        # Only where it is asked for.
        "{% if with_date %}{{ strftime_now('%Y') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # What every clock writes alike.
        "{{ strftime_now('%%') }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    harmful=[
        # With tools only, and an option fixes it.
        "{% if tools %}{{ today or strftime_now('%d %b %Y') }}{{ tools | tojson }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
        # Nothing of the clock is written, and what is written depends on it.
        "{{ 'Good evening.' if strftime_now('%H') | int > 12 else 'Good morning.' }}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
