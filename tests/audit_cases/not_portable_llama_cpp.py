from tests.support.audit import Case
from tests.support.engines import llama_cpp

CASE = Case(
    engine=llama_cpp,
    fires="axolotl/exaone4",
    quiet="trl/qwen3",
    mutant=[
        (
            "        {{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}",
            "        {{- '<|im_end|>\\n' }}{% continue %}\n    {%- endif %}\n{%- endfor %}",
        )
    ],
    says="the construct that differs is {% continue %} inside {% if %}",
    harmful=[
        # It prints lists as JSON.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ ['a', none] }}",
        # A variable that is set in a loop keeps its value.
        "{% for m in messages %}{% if loop.first %}{% set first = ' (first)' %}{% endif %}"
        "{{ m.role }}{{ first }}: {{ m.content }}\n{% endfor %}",
        # Only with tools.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% for letter in (tools or [{'function': {'name': []}}])[0].function.name %}"
        "{{ letter }}{% endfor %}",
    ],
    harmless=[
        "{{ strftime_now('%Y-%m-%d') }}\n"
        "{% if messages | length > 9 %}{{ raise_exception('Too many.') }}{% endif %}"
        "{% for m in messages %}{{ m.role | upper }}: {{ m['content'].strip() }}\n{% endfor %}"
        "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}",
        # It differs in a branch that no conversation reaches.
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if never %}{{ 1 < 2 < 3 }}{% endif %}",
    ],
)
