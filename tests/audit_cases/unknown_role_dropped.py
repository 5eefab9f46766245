from tests.support.audit import Case

CASE = Case(
    fires="trl/qwen3",
    quiet="trl/llama3",
    mutant=[
        (
            "{%- if message.role != 'system' or",
            "{%- if message.role in ['user', 'assistant', 'tool', 'developer'] or"
            " message.role == 'system' and",
        )
    ],
    says="'writer' is dropped",
)
