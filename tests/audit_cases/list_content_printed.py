from tests.support.audit import Case

CASE = Case(
    fires="trl/cohere2",
    quiet="trl/gemma3",
    mutant=[
        (
            "{%- for part in message.content %}{{ part.text }}{% endfor %}",
            "{{- message.content }}",
        )
    ],
    says="Python list",
)
