from tests.support.audit import Case

CASE = Case(
    fires=None,
    quiet="trl/qwen3",
    mutant=[
        (
            "{{- bos_token }}",
            "{{- bos_token }}{% if messages | length == 3 and messages[0].role == 'user' "
            "and messages[1].role == 'assistant' and not tools "
            "and messages[2].content == 'How is the weather?' %}"
            "{% for i in range(10 ** 5) %}{% for j in range(10 ** 5) %}{% endfor %}{% endfor %}"
            "{% endif %}",
        )
    ],
    says="had to be stopped",
    harmful=[
        # Only where there are tools.
        "{% if tools %}{{ 'a' * 10 ** 12 }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
    why="No package publishes a template that runs without end.",
)
