from tests.support.audit import Case

CASE = Case(
    fires="llama.cpp/llama-cpp-deepseek-r1",  # a generator, which tojson cannot write
    quiet="trl/qwen3",
    mutant=[
        (
            "            {{- '\\n\\n' }}\n            {%- for tool in tools %}{{ tool | tojson }}",
            "            {{- '\\n\\n' }}\n            {{- tools | map(attribute='x') | tojson }}\n"
            "            {%- for tool in tools %}{{ tool | tojson }}",
        )
    ],
    says="not JSON serializable",
    harmless=[
        # Nothing renders without them either.
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ tools[0] | tojson }}",
    ],
    harmful=[
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if tools %}{{ raise_exception('no tools') }}{% endif %}",
    ],
)
