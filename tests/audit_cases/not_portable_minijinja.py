from tests.support.audit import Case

CASE = Case(
    fires="trl/cohere_training",
    quiet="trl/qwen3",
    mutant=[
        (
            "            {{- message.content }}\n",
            "            {%- generation %}{{ message.content }}{% endgeneration %}\n",
        )
    ],
    says="what it cannot run is {% generation %}",
    harmful=[
        # A method of Python's that it lacks, of a string and of a value that came from JSON.
        "{% for m in messages %}{{ m.role.zfill(9) }}: {{ m.content }}\n{% endfor %}",
        "{% for m in messages %}{{ m.copy().role }}: {{ m.content }}\n{% endfor %}",
        # `none` counts as something to go through.
        "{% if tools is iterable and tools | length > 0 %}{{ tools | tojson }}{% endif %}"
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
        # Only with tools.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% for tool in tools or [] %}{{ '{\\n' | indent(4, first=true) }}"
        "{{ tool.function.name }}: {{ tool.function.description }}{% endfor %}",
    ],
    harmless=[
        # What servers add to minijinja, and what it does as jinja2.
        "{{ strftime_now('%Y-%m-%d') }}\n"
        "{% if messages | length > 9 %}{{ raise_exception('Too many.') }}{% endif %}"
        "{% for m in messages %}{% if loop.index > 7 %}{{ m }}{% break %}{% endif %}"
        "{{ m.role.upper() }}: {{ m['content'].strip() }}\n{% endfor %}"
        "{% if tools %}{{ tools | tojson(ensure_ascii=False, indent=2) }}{% endif %}",
        # It differs in a branch that no conversation reaches.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if never %}{{ [1].append(2) }}{% endif %}",
    ],
)
