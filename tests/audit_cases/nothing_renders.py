from tests.support.audit import Case

CASE = Case(
    fires=None,
    quiet="trl/qwen3",
    mutant=[("{{- bos_token }}", "{{- bos_token + names.assistant }}")],
    says="names",
    why="No package publishes a template that renders no chat at all.",
    harmless=[
        "{% for d in documents %}{{ d.text }}{% endfor %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    ],
)
